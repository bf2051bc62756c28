//! The stores, one like the other.
