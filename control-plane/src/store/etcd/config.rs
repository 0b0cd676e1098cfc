//! How a cluster is reached.

use std::fmt;

use etcd_client::{Certificate, ConnectOptions, TlsOptions};
use tonic::transport::Endpoint;

/// Where the cluster is, and how it lets us in.
#[derive(Clone, Debug)]
pub struct EtcdConfig {
    /// The members' client URLs, `http://…` or `https://…`.
    pub endpoints: Vec<String>,
    /// Put before every key; ends with a slash.
    pub prefix: String,
    /// For `https`.
    pub tls: Option<Tls>,
    /// If etcd's authentication is on, unless it goes by the client certificate's name.
    pub user: Option<User>,
}

impl EtcdConfig {
    /// These members, without encryption or user, under [`PREFIX`].
    pub fn new(endpoints: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            endpoints: endpoints.into_iter().map(Into::into).collect(),
            prefix: PREFIX.into(),
            tls: None,
            user: None,
        }
    }

    /// Everything that is wrong whatever the cluster.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.endpoints.is_empty() {
            return Err(ConfigError::NoEndpoints);
        }
        if self.prefix.is_empty() || !self.prefix.ends_with('/') {
            return Err(ConfigError::Prefix(self.prefix.clone()));
        }
        for url in &self.endpoints {
            let endpoint = |why: String| ConfigError::Endpoint(url.clone(), why);
            let parsed = Endpoint::from_shared(url.clone());
            let parsed = parsed.map_err(|_| endpoint("it is no URL".into()))?;
            match (url.split_once("://").map(|(scheme, _)| scheme), &self.tls) {
                (Some("http"), None) => {}
                (Some("https"), Some(tls)) => {
                    let connector = parsed.tls_config(tls.options());
                    connector.map_err(|error| ConfigError::Tls(super::verdict::chain(&error)))?;
                }
                (Some("http"), Some(_)) => {
                    return Err(endpoint("certificates are given: use https".into()));
                }
                (Some("https"), None) => {
                    return Err(endpoint("give the certificate of its authority".into()));
                }
                _ => {
                    return Err(endpoint(
                        "it begins with neither http:// nor https://".into(),
                    ));
                }
            }
        }
        Ok(())
    }

    pub(super) fn options(&self) -> ConnectOptions {
        let mut options = ConnectOptions::new()
            .with_connect_timeout(super::members::ATTEMPT)
            // A member that has lost the others says so at once, instead of waiting for them.
            .with_require_leader(true)
            // Unasked pings are punished by etcd; time limits find dead connections.
            .with_keep_alive_while_idle(false);
        if let Some(tls) = &self.tls {
            options = options.with_tls(tls.options());
        }
        if let Some(User { name, password }) = &self.user {
            options = options.with_user(name, password);
        }
        options
    }
}

/// What TLS needs, as PEM.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The certificate of the authority that vouches for the members.
    pub authority: Vec<u8>,
    /// What we show, if the members ask for it.
    pub identity: Option<Identity>,
    /// The name in the members' certificates, if it is not the URL's host.
    pub server_name: Option<String>,
}

impl Tls {
    fn options(&self) -> TlsOptions {
        let authority = Certificate::from_pem(&self.authority);
        let mut options = TlsOptions::new().ca_certificate(authority);
        if let Some(Identity { certificate, key }) = &self.identity {
            let identity = etcd_client::Identity::from_pem(certificate, key);
            options = options.identity(identity);
        }
        if let Some(name) = &self.server_name {
            options = options.domain_name(name);
        }
        options
    }
}

/// A client certificate and its key, as PEM.
#[derive(Clone)]
pub struct Identity {
    /// The certificate, and those between it and the authority.
    pub certificate: Vec<u8>,
    /// The private key.
    pub key: Vec<u8>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity { .. }")
    }
}

/// A user of etcd.
#[derive(Clone)]
pub struct User {
    /// The name.
    pub name: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("User").field(&self.name).finish()
    }
}

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is nobody to connect to.
    #[error("no etcd endpoint is given: name at least one, such as https://etcd-0:2379")]
    NoEndpoints,
    /// An endpoint is no URL, or does not fit the rest.
    #[error("the etcd endpoint `{0}` cannot be used: {1}")]
    Endpoint(String, String),
    /// Keys of others would be mixed with ours.
    #[error("the prefix of keys in etcd `{0}` does not end with a slash")]
    Prefix(String),
    /// A certificate or key cannot be read.
    #[error("the certificates for etcd cannot be used: {0}")]
    Tls(String),
}

/// Where the keys are, unless configured otherwise.
pub const PREFIX: &str = "/meridian/v1/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_that_cannot_work_is_refused_with_what_to_do() {
        let tls = || Tls {
            authority: b"no certificate".into(),
            identity: None,
            server_name: None,
        };
        let cases: [(&[&str], Option<Tls>, &str, &str); 6] = [
            (&[], None, PREFIX, "no etcd endpoint is given"),
            (&["etcd:2379"], None, PREFIX, "neither http:// nor https://"),
            (
                &["https://etcd:2379"],
                None,
                PREFIX,
                "certificate of its authority",
            ),
            (&["http://etcd:2379"], Some(tls()), PREFIX, "use https"),
            (
                &["http://etcd:2379"],
                None,
                "/meridian",
                "does not end with a slash",
            ),
            (&["http://a b"], None, PREFIX, "it is no URL"),
        ];
        for (endpoints, tls, prefix, expected) in cases {
            let mut config = EtcdConfig::new(endpoints.iter().copied());
            (config.tls, config.prefix) = (tls, prefix.into());
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(EtcdConfig::new(["http://etcd:2379"]).check().is_ok());
    }

    #[test]
    fn secrets_are_not_printed() {
        let mut config = EtcdConfig::new(["http://etcd:2379"]);
        let (name, password) = ("meridian".into(), "hush".into());
        config.user = Some(User { name, password });
        let printed = format!("{config:?}");
        assert!(
            printed.contains("meridian") && !printed.contains("hush"),
            "{printed}"
        );
    }
}
