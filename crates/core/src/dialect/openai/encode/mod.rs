//! From the canonical form onto the wire.

mod message;
mod request;
mod response;
mod stream;
mod tools;

pub use request::encode_request;
pub use response::encode_response;
pub use stream::Encoder;
