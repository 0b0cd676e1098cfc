//! A rehearsal at work: makes a meeting, has speakers, booths and delegates come as any client does, lets happen what is to
//! happen, and writes down what each went through. The shell around `scenario`, `account`, `outcome` and `verdict`.

mod company;
mod conductor;
mod delegate;
mod error;
mod harbour;
mod health;
mod house;
mod invite;
mod listening;
mod mile;
mod pace;
mod places;
mod players;
mod processes;
mod programme;
mod run;
mod source;
mod stage;
mod standing;
mod target;
mod troupe;

pub use error::RehearsalError;
pub use mile::{Mile, Roads};
pub use places::read as read_places;
pub use players::Players;
pub use run::{Plan, run};
pub use stage::{Description, EdgeAt, Stage, Watched};
pub use target::{Given, Target};

pub(crate) use company::{Company, Engagement, Share};
pub(crate) use invite::Invitations;
pub(crate) use processes::Sampler;
pub(crate) use standing::Standing;
