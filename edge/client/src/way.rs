//! The way to an edge: the one that was named, or those the control plane names to who is invited.

use crate::cli::{JoinArgs, TargetArgs};
use crate::dial::{self, PATIENCE, dialer, system_bundle, trust};
use crate::exit::{self, ExitCode, Failure};
use crate::join::{self, AtTheDoor, Cause, Guest, Invited, Manner, Replicas, Told};
use crate::link::{Redials, dial_from, final_words};
use crate::report::say;
use anyhow::{Context, anyhow};
use bytes::Bytes;
use meridian_session::client::{DialError, Dialed, Dialer};
use meridian_session::session::SessionError;
use meridian_session::tls::Trust;
use meridian_wire::{Namespace, TerminationCode};
use std::collections::HashMap;
use std::pin::Pin;
use std::time::{Duration, Instant};

/// How edges are found.
#[derive(Clone, Debug)]
pub enum Way {
    /// The edge that was named.
    Named(Box<Dialer>),
    /// Those the control plane names.
    Invited(Guest),
}

/// A session, and what to tell of it.
#[derive(Debug)]
pub struct Found {
    /// The session.
    pub dialed: Dialed,
    /// Which edge it is, if the control plane has named it.
    pub told: Option<Told>,
}

/// An edge being looked for.
pub type Finding = Pin<Box<dyn Future<Output = Result<Found, Failure>> + Send>>;

impl Way {
    /// The way the command line says. Who is invited has come in when this ends.
    ///
    /// # Errors
    /// The command line is wrong, or the control plane refuses or does not answer for as long as `patience`.
    pub async fn open(target: &TargetArgs, patience: Duration) -> Result<Way, Failure> {
        if target.invited.join.is_empty() {
            return Ok(Way::Named(Box::new(dialer(target)?)));
        }
        let manner = Manner {
            transport: target.transport().into(),
            drafts: dial::drafts(target),
            // Only for edges without a certificate of their own: a machine that knows no authority does without them.
            trust: match trust(&target.trust) {
                Err(_) if target.trust.ca.is_none() => Trust::Authorities(Vec::new()),
                trust => trust?,
            },
            via: HashMap::new(),
            patience: PATIENCE,
            harbour: None,
        };
        let (replicas, invited) = invitation(&target.invited)?;
        let guest = Guest::enter(replicas.into(), invited, manner, patience, say_words).await?;
        Ok(Way::Invited(guest))
    }

    /// The namespace meant: as given, with the meeting's in front if it lacks them.
    ///
    /// # Errors
    /// None is given, and `own`, the one this participant publishes under, is not meant or not there.
    pub fn namespace(&self, given: Option<&Namespace>, own: bool) -> Result<Namespace, Failure> {
        let usage = |what: &'static str| Failure::new(ExitCode::Usage, anyhow!(what));
        match (self, given) {
            (Way::Named(_), given) => given.cloned().ok_or_else(|| usage("give --namespace")),
            (Way::Invited(guest), Some(given)) => Ok(within(given, &guest.meeting())),
            (Way::Invited(guest), None) if own => match guest.publish_namespace() {
                fields if fields.is_empty() => Err(Failure::new(
                    ExitCode::Denied,
                    anyhow!("this invitation is for listening: it does not allow publishing"),
                )),
                fields => Ok(namespace(fields)),
            },
            (Way::Invited(_), None) => Err(usage("say whom to watch: --namespace p/ID")),
        }
    }

    /// Looks for an edge until `deadline`; what is named itself, with these pauses. Safe to drop.
    pub fn find(&self, cause: Cause, deadline: Instant, redials: &Redials) -> Finding {
        match self.clone() {
            Way::Named(dialer) => {
                let redials = redials.clone();
                Box::pin(async move {
                    let uri = match cause {
                        Cause::Goaway(uri) => uri,
                        _ => Bytes::new(),
                    };
                    let told = |error: &DialError| say(&format!("{error}; trying again"));
                    let dialed = dial_from(&dialer, &uri, deadline, &redials, told)
                        .await
                        .map_err(exit::of)?;
                    Ok(Found { dialed, told: None })
                })
            }
            Way::Invited(guest) => Box::pin(async move {
                let reached = guest.reach(cause, deadline).await?;
                say(&words(&reached.told));
                Ok(Found {
                    dialed: reached.dialed,
                    told: Some(reached.told),
                })
            }),
        }
    }

    /// What to do about a session that has ended: look again, or end.
    ///
    /// # Errors
    /// The edge has ended it for good. Coming back would only throw somebody else out, or be refused.
    pub fn after(&self, error: &SessionError) -> Result<Cause, Failure> {
        let is_invited = matches!(self, Way::Invited(_));
        if is_invited && error.code() == Some(TerminationCode::EXPIRED_AUTH_TOKEN) {
            return Ok(Cause::Expired);
        }
        match final_words(error) {
            None => Ok(Cause::Lost),
            Some(words) => {
                let error = anyhow!("the edge has ended the session: {words}");
                Err(Failure::new(ExitCode::Denied, error))
            }
        }
    }

    /// When pictures may be asked for: at once, unless the control plane wants sound to come first.
    pub fn video_at(&self) -> Option<Instant> {
        match self {
            Way::Named(_) => None,
            Way::Invited(guest) => Some(guest.video_at()),
        }
    }

    /// Whether an edge is shown a token.
    pub fn has_token(&self) -> bool {
        match self {
            Way::Named(dialer) => {
                let mut query = dialer.url.query_pairs();
                dialer.token.is_some() || query.any(|(name, _)| name == "jwt")
            }
            Way::Invited(_) => true,
        }
    }

    /// The offices it has led to, one after another.
    pub fn offices(&self) -> Vec<String> {
        match self {
            Way::Named(_) => Vec::new(),
            Way::Invited(guest) => guest.offices(),
        }
    }
}

/// What the command line says of the invitation and who takes it.
///
/// # Errors
/// A file that cannot be read, or an address that is none.
pub fn invitation(args: &JoinArgs) -> Result<(Replicas, Invited), Failure> {
    let usage = |error: anyhow::Error| Failure::new(ExitCode::Usage, error);
    let text = args.invitation.as_deref().unwrap_or_default();
    let invitation = join::read(text).context("--invitation").map_err(usage)?;
    let invited = Invited {
        invitation,
        country: args.country.clone().unwrap_or_default(),
    };
    Ok((replicas(args)?, invited))
}

/// The control plane the command line names.
///
/// # Errors
/// A file that cannot be read, or an address that is none.
pub fn replicas(args: &JoinArgs) -> Result<Replicas, Failure> {
    let usage = |error: anyhow::Error| Failure::new(ExitCode::Usage, error);
    let ca = args.join_ca.as_deref().or_else(|| system_bundle());
    let ca = ca.ok_or_else(|| {
        usage(anyhow!(
            "this machine has no list of authorities; give --join-ca"
        ))
    })?;
    let pem = std::fs::read(ca).with_context(|| ca.display().to_string());
    Ok(Replicas::new(&args.join, &pem.map_err(usage)?)?)
}

/// A namespace of a meeting, given whole or without what all of them have in front.
pub fn within(given: &Namespace, meeting: &str) -> Namespace {
    if given.0.first().is_some_and(|first| first == ROOT) {
        return given.clone();
    }
    let front = [ROOT, meeting].map(|field| Bytes::copy_from_slice(field.as_bytes()));
    Namespace(front.into_iter().chain(given.0.iter().cloned()).collect())
}

fn namespace(fields: Vec<String>) -> Namespace {
    Namespace(fields.into_iter().map(Into::into).collect())
}

fn say_words(told: AtTheDoor<'_>) {
    if let AtTheDoor::Words(words) = told {
        say(words);
    }
}

fn words(told: &Told) -> String {
    let Told {
        office, after_ms, ..
    } = told;
    match &told.from {
        None => format!("at {office} after {after_ms:.0} ms"),
        Some(from) => format!("at {office}, from {from}, after {after_ms:.0} ms"),
    }
}

/// The first field of every namespace.
const ROOT: &str = "meridian";

#[cfg(test)]
mod tests {
    use super::*;
    use meridian_session::transport::ConnectionLost;

    fn fields(names: &[&str]) -> Namespace {
        namespace(names.iter().map(|name| (*name).to_owned()).collect())
    }

    fn closed(code: TerminationCode, reason: &str) -> SessionError {
        let reason = reason.to_owned();
        SessionError::Lost(ConnectionLost::ClosedByPeer { code, reason })
    }

    fn way() -> Way {
        Way::Named(Box::new(Dialer {
            url: "moqt://e:1".parse().expect("a URL"),
            transport: meridian_session::transport::Transport::Quic,
            drafts: Vec::new(),
            trust: Trust::Anyone,
            token: None,
            patience: PATIENCE,
            harbour: None,
        }))
    }

    #[test]
    fn a_namespace_of_the_meeting_may_be_given_short() {
        let whole = fields(&["meridian", "council", "p", "p-2"]);
        assert_eq!(within(&fields(&["p", "p-2"]), "council"), whole);
        assert_eq!(within(&whole, "another"), whole);
    }

    #[test]
    fn whoever_is_displaced_or_revoked_does_not_come_back() {
        for (code, reason) in [
            (TerminationCode::NO_ERROR, "opened elsewhere"),
            (
                TerminationCode::UNAUTHORIZED,
                "the token has been withdrawn",
            ),
            (TerminationCode::EXPIRED_AUTH_TOKEN, "the token is over"),
            (TerminationCode::MALFORMED_AUTH_TOKEN, "no token"),
        ] {
            let failure = way().after(&closed(code, reason)).expect_err("it is final");
            assert_eq!(failure.code, ExitCode::Denied);
            assert!(failure.to_string().contains(reason), "{failure}");
        }
    }

    #[test]
    fn an_edge_that_stops_or_breaks_is_replaced() {
        let stopped = closed(TerminationCode::NO_ERROR, "done");
        assert_eq!(way().after(&stopped).expect("goes on"), Cause::Lost);
        let broken = SessionError::Lost(ConnectionLost::TimedOut);
        assert_eq!(way().after(&broken).expect("goes on"), Cause::Lost);
    }
}
