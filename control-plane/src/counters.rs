//! What a replica counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only rises.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// So far.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($(#[doc = $help:literal])+ $name:ident),+ $(,)?) => {
        /// All of them.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[doc = $help])+ pub $name: Counter,)+
        }

        impl Counters {
            /// Name, help and value of each.
            pub fn all(&self) -> Vec<(&'static str, &'static str, u64)> {
                vec![$((stringify!($name), concat!($($help),+), self.$name.count()),)+]
            }
        }
    };
}

counters! {
    /// Delegates let in.
    joins_admitted,
    /// Answers that told a delegate to wait.
    joins_waiting,
    /// Delegates turned away since the queue was full.
    joins_overflowed,
    /// Delegates told to come later since they join again and again.
    joins_too_often,
    /// Delegates turned away since no edge had a place.
    joins_without_place,
    /// Invitations that were forged or damaged.
    invitations_forged,
    /// Invitations out of their time.
    invitations_expired,
    /// Invitations that were revoked, or of nobody known.
    invitations_revoked,
    /// Media tokens that were not renewed, as they were forged, expired or revoked.
    renewals_refused,
    /// Calls of people without a good access token.
    people_refused,
    /// Calls of organisers and operators that were not theirs to make.
    people_denied,
    /// Sign-ins that were sent to the identity provider.
    sign_ins_begun,
    /// Sign-ins that ended with an invitation or an access token.
    sign_ins_completed,
    /// Answers to no sign-in of their browser's, too late, or to a link that names no meeting.
    sign_ins_stale,
    /// Sign-ins that were cancelled at the identity provider.
    sign_ins_cancelled,
    /// Sign-ins whose ID token was not good.
    sign_ins_untrusted,
    /// People who signed in and are nobody here, or whose address is not confirmed.
    sign_ins_refused,
    /// Sign-ins that failed, as the identity provider was away or too many came at a time.
    sign_ins_failed,
    /// Edges without the right certificate, at their calls or already at TLS.
    edges_refused,
    /// Connections whose TLS failed otherwise.
    connections_failed,
    /// Sessions ended as their participant had opened too many.
    sessions_displaced,
    /// Snapshots that edges refused.
    snapshots_refused,
    /// Changes of the tree made by this replica as leader.
    trees_changed,
    /// Changes that were decided again, as something had changed meanwhile.
    conflicts,
}
