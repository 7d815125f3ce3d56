//! The loop every kind goes through: what is to be done next is done, and what came of it is learnt.

use jiff::Timestamp;
use trackdown_core::machine::{Endless, Machine, Next, Pass};

use crate::runtime::error::Error;

/// Who performs what a machine wants done.
pub trait Perform<M: Machine> {
    /// Observes something.
    ///
    /// # Errors
    /// Anything after which the pass has to be tried again.
    fn read(&self, machine: &M, wanted: M::Read) -> impl Future<Output = Result<M::Reply, Error>> + Send;

    /// Writes something.
    ///
    /// # Errors
    /// Anything after which the pass has to be tried again.
    fn write(&self, machine: &M, wanted: M::Write) -> impl Future<Output = Result<M::Reply, Error>> + Send;
}

/// Goes on until there is nothing more to do before something happens.
///
/// # Errors
/// What performing a step came to, or that the pass does not come to an end.
pub async fn drive<M: Machine>(pass: &mut Pass<M>, hands: &impl Perform<M>) -> Result<M::Rest, Error> {
    loop {
        let reply = match pass.next().map_err(|Endless| Error::TooManySteps)? {
            Next::Read(wanted) => hands.read(&pass.machine, wanted).await?,
            Next::Write(wanted) => hands.write(&pass.machine, wanted).await?,
            Next::Rest(rest) => return Ok(rest),
        };
        pass.answer(reply, now());
    }
}

/// Now, as far as the API keeps it.
#[must_use]
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}
