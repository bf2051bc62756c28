//! The listener's TLS: certificate and key from PEM files, HTTP/2 and HTTP/1.1 by ALPN.

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use waypost_core::config::Tls;

/// How long a client may take for its handshake.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(10);

/// Reads the files; the errors name them.
pub(super) fn acceptor(files: &Tls) -> io::Result<TlsAcceptor> {
    let named = |path: &Path, e: &dyn std::fmt::Display| {
        io::Error::new(io::ErrorKind::InvalidData, format!("server.tls: {}: {e}", path.display()))
    };
    let certificates = CertificateDer::pem_file_iter(&files.cert).map_err(|e| named(&files.cert, &e))?;
    let certificates: Vec<_> = certificates.collect::<Result<_, _>>().map_err(|e| named(&files.cert, &e))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|e| named(&files.key, &e))?;
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(certificates, key);
    let mut config = config.map_err(|e| named(&files.cert, &e))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config).into())
}
