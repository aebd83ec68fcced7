use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow};

use super::login::Wire;
use super::output;
use crate::net::tls::{
    Acceptor, AcceptorOptions, Authority, AutoCertificate, Certificate, Connector, ConnectorOptions, Identity, Roots,
    Secrets,
};
use crate::net::{Target, Upstream};

/// The flags of every command that is dialled and can speak TLS then.
#[derive(clap::Args, Debug)]
pub(super) struct Tls {
    /// Speak TLS with those who dial: auto makes a certificate, of a throw-away CA; else the file that holds one, PEM
    #[arg(long, value_name = "auto|CERT.pem", env = "DCPROXY_TLS")]
    tls: Option<PathBuf>,

    /// The key of the certificate of --tls, PEM
    #[arg(long, value_name = "FILE", env = "DCPROXY_TLS_KEY", requires = "tls")]
    tls_key: Option<PathBuf>,

    /// Demand a certificate of those who dial, signed by a CA in this file (mutual TLS)
    #[arg(long, value_name = "FILE", env = "DCPROXY_TLS_CLIENT_CA", requires = "tls")]
    tls_client_ca: Option<PathBuf>,

    /// Where the certificate of the throw-away CA is written, for those who dial to trust (--tls auto)
    #[arg(long, value_name = "FILE", env = "DCPROXY_TLS_CA_OUT", default_value = "dcproxy-ca.pem")]
    tls_ca_out: PathBuf,

    /// A name or address by which it is dialled, beside localhost and that of --listen; repeatable (--tls auto)
    #[arg(long, value_name = "NAME", env = "DCPROXY_TLS_NAME", requires = "tls")]
    tls_name: Vec<String>,
}

impl Tls {
    /// What agrees on TLS with those who dial, if that is asked for; `listens` is where they do.
    pub(super) fn acceptor<'a>(
        &self,
        listens: impl IntoIterator<Item = &'a Target>,
        secrets: &Secrets,
        authorities: &mut Authorities,
    ) -> anyhow::Result<Option<Acceptor>> {
        let Some(tls) = &self.tls else { return Ok(None) };
        let certificate = match &self.tls_key {
            Some(key) => Certificate::Files(Identity { certificate: tls.clone(), key: key.clone() }),
            None if tls.as_os_str() == "auto" => {
                let names = listens.into_iter().map(|listen| listen.host.clone()).chain(self.tls_name.iter().cloned());
                Certificate::Auto(Arc::new(AutoCertificate::new(authorities.of(&self.tls_ca_out)?, names)))
            }
            None => return Err(anyhow!("expected --tls-key FILE with --tls {}, found none", tls.display())),
        };
        let options = AcceptorOptions { certificate, client_ca: self.tls_client_ca.clone(), secrets: secrets.clone() };
        Ok(Some(Acceptor::new(options)?))
    }
}

/// The throw-away CAs of this process, by the file that the certificate of each is written to: whoever writes to the same
/// file is of the same CA, however often a configuration is read again.
#[derive(Debug, Default)]
pub(super) struct Authorities {
    made: BTreeMap<PathBuf, Authority>,
}

impl Authorities {
    fn of(&mut self, path: &Path) -> anyhow::Result<Authority> {
        if let Some(made) = self.made.get(path) {
            return Ok(made.clone());
        }
        let authority = Authority::new()?;
        let told = path.display();
        fs::write(path, authority.pem()).with_context(|| format!("writing the certificate of the CA {told}"))?;
        output::remark(&format!("TLS: those who dial are to trust the CA in {told}"));
        self.made.insert(path.to_owned(), authority.clone());
        Ok(authority)
    }
}

/// The flags of every command that dials and can speak TLS then.
#[derive(clap::Args, Debug)]
pub(super) struct UpstreamTls {
    /// Speak TLS with the end that is dialled; the other --upstream flags of TLS imply it
    #[arg(long, env = "DCPROXY_UPSTREAM_TLS")]
    upstream_tls: bool,

    /// Trust the CAs in this file, PEM, in the place of the system's
    #[arg(long, value_name = "FILE", env = "DCPROXY_UPSTREAM_CA")]
    upstream_ca: Option<PathBuf>,

    /// The certificate to show where the end that is dialled asks for one, PEM (mutual TLS)
    #[arg(long, value_name = "FILE", env = "DCPROXY_UPSTREAM_CERT", requires = "upstream_key")]
    upstream_cert: Option<PathBuf>,

    /// The key of the certificate of --upstream-cert, PEM
    #[arg(long, value_name = "FILE", env = "DCPROXY_UPSTREAM_KEY", requires = "upstream_cert")]
    upstream_key: Option<PathBuf>,

    /// The name to ask for (SNI) and to find in the certificate, in the place of that which is dialled
    #[arg(long, value_name = "NAME", env = "DCPROXY_UPSTREAM_NAME")]
    upstream_name: Option<String>,

    /// Take any certificate: whoever answers is believed. For tests
    #[arg(long, env = "DCPROXY_UPSTREAM_INSECURE", conflicts_with = "upstream_ca")]
    upstream_insecure: bool,
}

impl UpstreamTls {
    /// What agrees on TLS with the end that is dialled, if that is asked for.
    pub(super) fn connector(&self, secrets: &Secrets) -> anyhow::Result<Option<Connector>> {
        let identity = self.upstream_cert.clone().zip(self.upstream_key.clone());
        if !self.is_wanted() {
            return Ok(None);
        }
        let roots = match &self.upstream_ca {
            Some(path) => Roots::File(path.clone()),
            None if self.upstream_insecure => {
                tracing::warn!(
                    "--upstream-insecure: whoever answers is believed to be the upstream, whatever its certificate"
                );
                Roots::Nobody
            }
            None => Roots::System,
        };
        let options = ConnectorOptions {
            roots,
            identity: identity.map(|(certificate, key)| Identity { certificate, key }),
            name: self.upstream_name.clone(),
            secrets: secrets.clone(),
        };
        Ok(Some(Connector::new(options)?))
    }

    /// Who may read what is sent to the end that is dialled. Whoever answers is no secret's keeper.
    pub(super) const fn wire(&self) -> Wire {
        if self.is_wanted() && !self.upstream_insecure { Wire::Sealed } else { Wire::Open }
    }

    const fn is_wanted(&self) -> bool {
        self.upstream_tls
            || self.upstream_ca.is_some()
            || self.upstream_cert.is_some()
            || self.upstream_name.is_some()
            || self.upstream_insecure
    }

    /// A place to dial, with what is spoken there.
    pub(super) fn to(&self, target: &Target, secrets: &Secrets) -> anyhow::Result<Upstream> {
        Ok(Upstream { target: target.clone(), tls: self.connector(secrets)? })
    }
}
