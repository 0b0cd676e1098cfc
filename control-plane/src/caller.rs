//! Who calls: an edge by its certificate, an organiser or operator by the bearer token.

use crate::listener::Remote;
use crate::plane::Plane;
use crate::tokens::{Access, TokenError};
use meridian_control_core::ids::Office;
use meridian_control_core::people;
use rustls::pki_types::ServerName;
use tonic::{Request, Status};

/// An organiser or operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The token's subject.
    pub subject: String,
    /// May do everything.
    pub is_operator: bool,
    /// Offices an organiser acts for.
    pub offices: Vec<String>,
}

impl Caller {
    /// As the core knows it.
    pub fn to_core(&self) -> people::Caller {
        let offices = self
            .offices
            .iter()
            .filter_map(|office| Office::new(office).ok());
        match self.is_operator {
            true => people::Caller::Operator,
            false => people::Caller::Organiser(offices.collect()),
        }
    }

    /// Whether it may change what belongs to an office.
    pub fn may_act_for(&self, office: &str) -> bool {
        self.is_operator || self.offices.iter().any(|own| own == office)
    }

    /// Only an operator goes on.
    ///
    /// # Errors
    /// PERMISSION_DENIED.
    pub fn operates(&self) -> Result<(), Status> {
        match self.is_operator {
            true => Ok(()),
            false => Err(Status::permission_denied(format!(
                "{} is no operator; ask one to do this",
                self.subject
            ))),
        }
    }
}

/// The organiser or operator behind a call.
///
/// # Errors
/// UNAUTHENTICATED: no token, or one that is no good.
pub fn of_person<T>(plane: &Plane, request: &Request<T>) -> Result<Caller, Status> {
    let result = bearer(request).and_then(|token| plane.access(token));
    if result.is_err() {
        plane.counters.people_refused.add();
    }
    result
}

fn bearer<T>(request: &Request<T>) -> Result<&str, Status> {
    let header = request.metadata().get("authorization");
    let token = header
        .and_then(|header| header.to_str().ok())
        .and_then(|header| header.strip_prefix("Bearer "));
    token.ok_or_else(|| {
        Status::unauthenticated("an access token is needed: `authorization: Bearer …`")
    })
}

impl Plane {
    fn access(&self, token: &str) -> Result<Caller, Status> {
        let access: Access = self.rings().access.verify(token).map_err(|error| {
            Status::unauthenticated(match error {
                TokenError::Expired => {
                    "the access token has expired: ask an operator for a new one"
                }
                TokenError::Forged => "the access token is not one of this network's",
            })
        })?;
        if access.generation < self.generation(&access.sub) {
            return Err(Status::unauthenticated(
                "the access token was revoked: ask an operator for a new one",
            ));
        }
        Ok(Caller {
            subject: access.sub,
            is_operator: access.operator,
            offices: access.offices,
        })
    }
}

/// Only the edge of this office goes on: its certificate has the office's id as a name.
///
/// # Errors
/// UNAUTHENTICATED without a certificate, PERMISSION_DENIED with another's.
pub fn is_edge<T>(plane: &Plane, request: &Request<T>, office: &str) -> Result<(), Status> {
    let result = check_edge(request, Some(office));
    if let Err(status) = &result {
        plane.counters.edges_refused.add();
        tracing::warn!(office, "an edge was refused: {}", status.message());
    }
    result
}

/// Only an edge goes on, of whichever office.
///
/// # Errors
/// UNAUTHENTICATED.
pub fn is_any_edge<T>(plane: &Plane, request: &Request<T>) -> Result<(), Status> {
    let result = check_edge(request, None);
    if result.is_err() {
        plane.counters.edges_refused.add();
    }
    result
}

fn check_edge<T>(request: &Request<T>, office: Option<&str>) -> Result<(), Status> {
    let remote = request.extensions().get::<Remote>();
    let certificate = remote.and_then(|remote| remote.certificate.as_ref());
    let certificate =
        certificate.ok_or_else(|| Status::unauthenticated("edges show a client certificate"))?;
    let Some(office) = office else {
        return Ok(());
    };
    let certificate = webpki::EndEntityCert::try_from(certificate)
        .map_err(|error| Status::unauthenticated(format!("the certificate: {error}")))?;
    let name = ServerName::try_from(office)
        .map_err(|_| Status::invalid_argument(format!("`{office}` is no office's id")))?;
    certificate
        .verify_is_valid_for_subject_name(&name)
        .map_err(|_| Status::permission_denied(format!("the certificate is not for {office}")))
}
