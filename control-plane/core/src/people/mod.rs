//! People and meetings: who may do what, and whether what is asked makes sense. Records are plain data; the shell stores
//! them and reads the clock.

mod delegate;
mod import;
mod import_error;
mod meeting;
mod moment;
mod name;
mod role;

pub use delegate::{Delegate, Void};
pub use import::{Columns, Row, import};
pub use import_error::{ImportError, ImportErrors, Problem};
pub use meeting::{Caller, MeetingError, MeetingRecord, Phase};
pub use role::{Grants, Role, RoleError, language};
