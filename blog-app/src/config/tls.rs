//! TLS of connections to MySQL, and the certificates that are trusted.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};

use super::files::read_bytes;
use super::{DatabaseArgs, Error};

/// Setting of the mode.
pub const MODE: &str = "BLOG_DATABASE_TLS";
/// Setting of the trusted certificates.
pub const CA_FILE: &str = "BLOG_DATABASE_CA_FILE";

/// MySQL's own TLS modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Never encrypted.
    Disabled,
    /// Encrypted if the server supports it.
    Preferred,
    /// Encrypted; the server's certificate isn't verified.
    Required,
    /// Encrypted, by a server with a certificate that a trusted one has issued.
    #[value(aliases = ["verifyca", "verify_ca"])]
    VerifyCa,
    /// The same, and the certificate is valid for the requested host.
    #[value(aliases = ["verifyidentity", "verify_identity"])]
    VerifyIdentity,
}

impl Mode {
    fn of_sqlx(self) -> MySqlSslMode {
        match self {
            Self::Disabled => MySqlSslMode::Disabled,
            Self::Preferred => MySqlSslMode::Preferred,
            Self::Required => MySqlSslMode::Required,
            Self::VerifyCa => MySqlSslMode::VerifyCa,
            Self::VerifyIdentity => MySqlSslMode::VerifyIdentity,
        }
    }
}

/// TLS settings, which take precedence over the URL's.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    mode: Option<Mode>,
    ca_file: Option<PathBuf>,
}

impl Tls {
    /// Interprets the settings; refuses combinations that give a false sense of safety.
    pub fn resolve(args: &DatabaseArgs) -> Result<Self, Error> {
        let named = args.database_tls.as_deref();
        let mode = named.map(|text| Mode::from_str(text, true).map_err(|_| Error::TlsMode)).transpose()?;
        let ca_file = args.database_ca_file.clone();
        match (mode, &ca_file) {
            (Some(Mode::VerifyCa), None) => Err(Error::NoCa),
            (Some(Mode::VerifyIdentity), None) if system_has_none() => Err(Error::NoRoots),
            (Some(Mode::VerifyCa | Mode::VerifyIdentity), _) | (_, None) => Ok(Self { mode, ca_file }),
            (_, Some(_)) => Err(Error::CaUnused),
        }
    }

    /// The setting that has no effect without a server.
    #[must_use]
    pub fn setting(&self) -> Option<&'static str> {
        self.mode.map(|_| MODE)
    }

    /// File whose change requires a reload.
    #[must_use]
    pub fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref()
    }

    /// Returns the options with this protection.
    ///
    /// The file is read here and not at each connection. A half-written file is refused while open connections go on.
    pub fn protect(&self, mut options: MySqlConnectOptions) -> Result<MySqlConnectOptions, Error> {
        if let Some(mode) = self.mode {
            options = options.ssl_mode(mode.of_sqlx());
        }
        match &self.ca_file {
            Some(file) => Ok(options.ssl_ca_from_pem(certificates(file)?)),
            None => Ok(options),
        }
    }

    /// The mode as `check-config` prints it.
    #[must_use]
    pub fn describe(&self, options: &MySqlConnectOptions) -> String {
        let by = self.ca_file.as_ref().map(|file| format!(" by {}", file.display())).unwrap_or_default();
        format!("TLS {:?}{by}", options.get_ssl_mode())
    }
}

/// Reads and checks the certificates.
///
/// sqlx's own error message would quote them whole.
fn certificates(file: &Path) -> Result<Vec<u8>, Error> {
    let pem = read_bytes(CA_FILE, file)?;
    let bad = || Error::NoCertificates(file.to_owned());
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        store.add(certificate.map_err(|_| bad())?).map_err(|_| bad())?;
    }
    if store.is_empty() { Err(bad()) } else { Ok(pem) }
}

fn system_has_none() -> bool {
    rustls_native_certs::load_native_certs().certs.is_empty()
}

/// Why the server's certificate was refused, and the remedy.
///
/// `None` for other failures.
#[must_use]
pub fn refusal(error: &sqlx::Error) -> Option<String> {
    use rustls::CertificateError::{
        Expired, ExpiredContext, NotValidForName, NotValidForNameContext, UnknownIssuer,
    };
    let sqlx::Error::Io(io) = error else { return None };
    let Some(rustls::Error::InvalidCertificate(reason)) = io.get_ref()?.downcast_ref() else { return None };
    let text = match reason {
        UnknownIssuer => {
            format!("none of the certificates in {CA_FILE} has issued it; that file must hold its issuer's")
        }
        NotValidForName | NotValidForNameContext { .. } => {
            format!("it is for another host than the one in the settings; {MODE}=VerifyCa checks no names")
        }
        Expired | ExpiredContext { .. } => "it has expired; the server needs a new one".to_owned(),
        other => other.to_string(),
    };
    Some(format!("the server's certificate is refused: {text}"))
}
