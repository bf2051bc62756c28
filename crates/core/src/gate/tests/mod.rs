//! The gate as a whole: several processes, their scopes and one store of books.

mod conservation;
mod crowd;
mod rates;
mod slices;
mod windows;
mod world;
