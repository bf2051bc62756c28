//! The two ways to speak TLS to a server: knowing who it is, and only against who listens.

use std::sync::Arc;
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{WebPkiSupportedAlgorithms, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// Certificates must come from the authorities in the PEM file `roots`; `None`: the system's, or Mozilla's where it has
/// none.
///
/// # Errors
/// What is wrong with the file.
pub(super) fn verified(roots: Option<&str>) -> Result<MakeRustlsConnect, String> {
    let mut store = RootCertStore::empty();
    match roots {
        Some(file) => {
            let wrong = |e: &dyn std::fmt::Display| format!("`sslrootcert` {file}: {e}");
            for cert in CertificateDer::pem_file_iter(file).map_err(|e| wrong(&e))? {
                store.add(cert.map_err(|e| wrong(&e))?).map_err(|e| wrong(&e))?;
            }
            if store.is_empty() {
                return Err(wrong(&"no certificate is in it"));
            }
        }
        None => {
            let (taken, _) = store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if taken == 0 {
                store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
            }
        }
    }
    Ok(MakeRustlsConnect::new(ClientConfig::builder().with_root_certificates(store).with_no_client_auth()))
}

/// For `sslmode=prefer`, where the server may as well have no TLS at all: any certificate will do.
pub(super) fn unverified() -> MakeRustlsConnect {
    let anyone = Anyone(ring::default_provider().signature_verification_algorithms);
    let config = ClientConfig::builder().dangerous().with_custom_certificate_verifier(Arc::new(anyone));
    MakeRustlsConnect::new(config.with_no_client_auth())
}

/// Takes every certificate; the handshake must still be signed by its key.
#[derive(Debug)]
struct Anyone(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        tokio_rustls::rustls::crypto::verify_tls12_signature(message, cert, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        tokio_rustls::rustls::crypto::verify_tls13_signature(message, cert, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
