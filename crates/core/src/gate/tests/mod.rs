//! The gate as a whole: several processes, their scopes and one store of books.

mod conservation;
mod rates;
mod world;
