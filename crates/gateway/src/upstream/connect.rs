//! Opening a connection: name lookup, TCP, TLS.

use super::target::Origin;
use hyper_util::rt::TokioIo;
use std::io;
use std::sync::{Arc, OnceLock};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Either kind of connection, as hyper reads it.
pub(super) enum Stream {
    Plain(TokioIo<TcpStream>),
    Tls(Box<TokioIo<TlsStream<TcpStream>>>),
}

/// Why no connection came about.
#[derive(Debug)]
pub(super) enum ConnectError {
    Tcp(io::Error),
    Tls(io::Error),
}

/// The client's side of TLS, built when the first provider with `https` is reached: reading the system's certificates
/// takes time and memory that a gateway before local servers does not owe.
#[derive(Debug, Default)]
pub struct Tls(OnceLock<Arc<ClientConfig>>);

impl Tls {
    fn connector(&self) -> TlsConnector {
        self.0.get_or_init(client_config).clone().into()
    }
}

/// The system's certificate authorities; Mozilla's list where the system has none (a bare container).
fn client_config() -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    let (taken, _) = roots.add_parsable_certificates(native.certs);
    if taken == 0 {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

pub(super) async fn connect(origin: &Origin, tls: &Tls) -> Result<Stream, ConnectError> {
    let tcp = TcpStream::connect((origin.host.as_str(), origin.port)).await.map_err(ConnectError::Tcp)?;
    tcp.set_nodelay(true).map_err(ConnectError::Tcp)?;
    if !origin.tls {
        return Ok(Stream::Plain(TokioIo::new(tcp)));
    }
    let name = ServerName::try_from(origin.host.clone());
    let name = name.map_err(|e| ConnectError::Tls(io::Error::new(io::ErrorKind::InvalidInput, e)))?;
    let stream = tls.connector().connect(name, tcp).await.map_err(ConnectError::Tls)?;
    Ok(Stream::Tls(Box::new(TokioIo::new(stream))))
}
