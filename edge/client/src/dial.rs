//! What the command line says of the edge, as a dialer.

use crate::cli::{TargetArgs, TrustArgs};
use crate::exit::{ExitCode, Failure};
use anyhow::{Context, anyhow};
use meridian_session::client::Dialer;
use meridian_session::tls::{Fingerprint, Trust};
use meridian_wire::Draft;
use std::path::Path;
use std::time::Duration;

/// A dialer for what the command line says.
///
/// # Errors
/// The trusted authorities cannot be read.
pub fn dialer(target: &TargetArgs) -> Result<Dialer, Failure> {
    let url = target.url.clone();
    Ok(Dialer {
        url: url.ok_or_else(|| Failure::new(ExitCode::Usage, anyhow!("--url is missing")))?,
        transport: target.transport().into(),
        drafts: drafts(target),
        trust: trust(&target.trust)?,
        token: target.token.clone(),
        patience: PATIENCE,
        harbour: None,
    })
}

/// What is spoken, as the command line says.
pub fn drafts(target: &TargetArgs) -> Vec<Draft> {
    let only = target.draft.map(|draft| vec![draft]);
    only.unwrap_or_else(|| Draft::PREFERRED.to_vec())
}

/// How long one attempt may take. A lost first packet is sent again after a third of a second.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Reads what the command line says about trust; the machine's own authorities if it says nothing.
///
/// # Errors
/// A file that cannot be read or has no certificate in it.
pub fn trust(args: &TrustArgs) -> Result<Trust, Failure> {
    let usage = |error: anyhow::Error| Failure::new(ExitCode::Usage, error);
    if args.insecure {
        return Ok(Trust::Anyone);
    }
    if let Some(hash) = args.cert_hash {
        return Ok(Trust::Fingerprints(vec![Fingerprint(hash)]));
    }
    let bundle = match &args.ca {
        Some(path) => path.as_path(),
        None => system_bundle().ok_or_else(|| {
            usage(anyhow!(
                "this machine has no list of authorities; give --ca or --cert-hash"
            ))
        })?,
    };
    Trust::load(bundle)
        .context("the trusted authorities")
        .map_err(usage)
}

/// Where this machine keeps its authorities.
pub fn system_bundle() -> Option<&'static Path> {
    let mut bundles = SYSTEM_BUNDLES.iter().map(Path::new);
    bundles.find(|path| path.exists())
}

/// Where systems keep their authorities: Debian and its kin, Fedora and its kin, SUSE, Alpine and macOS.
const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
