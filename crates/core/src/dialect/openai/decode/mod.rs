//! From the wire into the canonical form.

mod chunk;
mod message;
mod request;
mod response;
mod stream;
mod tools;

pub use request::decode_request;
pub use response::decode_response;
pub use stream::Decoder;
