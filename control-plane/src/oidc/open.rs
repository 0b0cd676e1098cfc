//! What a sign-in needs, read and checked before a port is bound.

use super::Oidc;
use super::config::OidcConfig;
use super::http::{AuthorityError, Http};
use super::provider::Provider;
use crate::plane::Plane;
use openidconnect::{ClientSecret, IssuerUrl, RedirectUrl};
use std::path::PathBuf;
use std::sync::Arc;

/// Sign-in with the identity provider could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    /// The file with the client's secret cannot be read.
    #[error("{}: {source}", path.display())]
    Secret {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The provider's certificate could not be checked.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// An address is not one.
    #[error("[oidc]: {0}")]
    Url(#[from] openidconnect::url::ParseError),
}

/// What the provider knows this application by.
pub(super) struct Settings {
    pub(super) issuer: IssuerUrl,
    pub(super) client_id: String,
    pub(super) secret: Option<ClientSecret>,
    pub(super) redirect: RedirectUrl,
}

impl Oidc {
    /// Sign-in as configured, if it is. The provider is not asked before somebody signs in: it may be away.
    ///
    /// # Errors
    /// [`OidcError`].
    pub fn open(plane: &Arc<Plane>) -> Result<Option<Oidc>, OidcError> {
        let Some(config) = &plane.config.oidc else {
            return Ok(None);
        };
        let provider = Provider::new(settings(config)?, Http::new(config)?);
        let (plane, config) = (plane.clone(), config.clone());
        Ok(Some(Oidc {
            plane,
            config,
            provider,
        }))
    }
}

fn settings(config: &OidcConfig) -> Result<Settings, OidcError> {
    let read = |path: &PathBuf| {
        let read = std::fs::read_to_string(path);
        let secret = read.map_err(|source| OidcError::Secret {
            path: path.clone(),
            source,
        });
        secret.map(|text| ClientSecret::new(text.trim().to_owned()))
    };
    Ok(Settings {
        issuer: IssuerUrl::new(config.issuer.clone())?,
        client_id: config.client_id.clone(),
        secret: config.client_secret_file.as_ref().map(read).transpose()?,
        redirect: RedirectUrl::new(config.redirect_url.clone())?,
    })
}
