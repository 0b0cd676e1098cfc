//! A rehearsal at work: makes a meeting, has speakers, booths and delegates come as any client does, lets happen what is to
//! happen, and writes down what each went through. The shell around `scenario`, `account`, `outcome` and `verdict`.

mod company;
mod conductor;
mod delegate;
mod error;
mod health;
mod house;
mod invite;
mod listening;
mod pace;
mod places;
mod players;
mod processes;
mod programme;
mod quay;
mod run;
mod source;
mod stage;
mod standing;
mod target;
mod trial;
mod troupe;

pub use error::RehearsalError;
pub use places::read as read_places;
pub use players::Players;
pub use quay::Roads;
pub use run::{Plan, run};
pub use stage::{Description, EdgeAt, Stage, Watched};
pub use target::{Given, Target};

pub(crate) use company::{Company, Engagement, Share};
pub(crate) use health::BEHIND_P99_MS;
pub(crate) use invite::Invitations;
pub(crate) use players::HERE;
pub(crate) use processes::Sampler;
pub(crate) use standing::Standing;
pub(crate) use trial::{Spent, Trial, Tried};
