//! How much is needed where: from who comes and what they take, by what things were measured to cost. Pure but for reading
//! files. Whatever goes beyond measured sizes is said to.

mod answer;
mod check;
pub mod cli;
mod costs;
mod question;
mod text;
mod world;

pub use answer::{Answer, Country, Link, Office, answer};
pub use check::{Compared, compare};
pub use costs::Costs;
pub use question::{Machine, Pictures, Question};
pub use world::World;
