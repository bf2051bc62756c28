//! The gate as a whole: several processes, their scopes and one store of books.

mod conservation;
mod crowd;
mod rates;
mod windows;
mod world;
