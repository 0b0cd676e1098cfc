//! What a replica is told of the identity provider, and who is an organiser or operator by it.

use meridian_process::config::{Wrong, wrong};
use openidconnect::url::Url;
use serde::Deserialize;
use std::path::PathBuf;

/// The table `[oidc]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcConfig {
    /// The provider, exactly as its discovery document calls itself; `https`.
    pub issuer: String,
    /// This application's name at the provider.
    pub client_id: String,
    /// A file with its secret; none for a public client (PKCE is always used).
    pub client_secret_file: Option<PathBuf>,
    /// Where the provider sends people back to: `https://…/oidc/callback`, as registered there.
    pub redirect_url: String,
    /// What is asked for besides `openid`.
    #[serde(default = "scopes")]
    pub scopes: Vec<String>,
    /// The authority of the provider's certificate, PEM; the system's authorities if absent.
    pub ca: Option<PathBuf>,
    /// Organisers, and the offices they act for.
    #[serde(default)]
    pub organisers: Vec<Organiser>,
    /// Operators' e-mail addresses.
    #[serde(default)]
    pub operators: Vec<String>,
}

/// An organiser.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Organiser {
    /// As the provider knows them; letters' case does not matter.
    pub email: String,
    /// Offices' ids.
    pub offices: Vec<String>,
}

/// The path that people come back to.
pub(super) const CALLBACK: &str = "/oidc/callback";

impl OidcConfig {
    /// What the types do not say. An error names a piece of the text that is on the line to mend.
    pub(crate) fn check(&self) -> Result<(), Wrong> {
        let https = |text: &str| Url::parse(text).ok().filter(|url| url.scheme() == "https");
        if https(&self.issuer).is_none() {
            return wrong("issuer", "the issuer is an https URL");
        }
        if https(&self.redirect_url).is_none_or(|url| url.path() != CALLBACK) {
            return wrong(
                "redirect_url",
                "the provider sends people back to https://…/oidc/callback",
            );
        }
        if self.client_id.is_empty() {
            return wrong("client_id", "the provider knows this application by a name");
        }
        let offices = self.organisers.iter().flat_map(|one| &one.offices);
        for office in offices {
            if meridian_control_core::ids::Office::new(office).is_err() {
                return wrong(office, format!("`{office}` is no office's id"));
            }
        }
        let emails = self.organisers.iter().map(|one| &one.email);
        match emails
            .chain(&self.operators)
            .find(|email| !email.contains('@'))
        {
            Some(email) => wrong(email, format!("`{email}` is no e-mail address")),
            None => Ok(()),
        }
    }

    /// Files that must be there.
    pub(crate) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.client_secret_file.iter().chain(&self.ca)
    }
}

/// Without it providers do not say who somebody is.
fn scopes() -> Vec<String> {
    vec!["email".into()]
}
