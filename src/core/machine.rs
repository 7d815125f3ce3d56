//! What every kind is: a machine that says what is to be done next, and learns what came of it. It knows nobody who does it. A crash
//! between any two steps changes nothing about where it ends, as what is decided rests on what was observed alone.

use std::fmt::Debug;

use jiff::Timestamp;

/// What is to be done next.
#[derive(Clone, Debug, PartialEq)]
pub enum Next<Read, Write, Rest> {
    /// One more observation.
    Read(Read),
    /// One write.
    Write(Write),
    /// Nothing, before something happens.
    Rest(Rest),
}

/// What a kind decides, from what was observed of one object and of what is around it.
pub trait Machine {
    /// Something to be observed.
    type Read: Debug;
    /// Something to be written.
    type Write: Debug;
    /// What ends the rest.
    type Rest: Debug;
    /// What came of a read or of a write.
    type Reply;

    /// What is to be done next. Asked twice, it says the same.
    fn next(&self) -> Next<Self::Read, Self::Write, Self::Rest>;

    /// Folds in what came of what was to be done.
    fn learn(&mut self, reply: Self::Reply);

    /// Time goes on.
    fn at(&mut self, now: Timestamp);

    /// Steps one pass may take; one that needs more has a bug.
    fn most_steps(&self) -> usize;
}

/// What this machine wants done next.
pub type NextOf<M> = Next<<M as Machine>::Read, <M as Machine>::Write, <M as Machine>::Rest>;

/// A pass over one object: step after step, until there is nothing more to do. The operator, the model and the tests all go by this; they
/// differ in who performs a step.
#[derive(Clone, Debug)]
pub struct Pass<M> {
    /// What is decided on.
    pub machine: M,
    steps: usize,
}

/// The pass does not come to an end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Endless;

impl<M: Machine> Pass<M> {
    /// A pass that has taken no step yet.
    #[must_use]
    pub fn new(machine: M) -> Self {
        Self { machine, steps: 0 }
    }

    /// What is to be done next.
    ///
    /// # Errors
    /// If it has taken more steps than any should.
    pub fn next(&self) -> Result<NextOf<M>, Endless> {
        if self.steps >= self.machine.most_steps() {
            return Err(Endless);
        }
        Ok(self.machine.next())
    }

    /// That was done, and this came of it, by `now`.
    pub fn answer(&mut self, reply: M::Reply, now: Timestamp) {
        self.steps += 1;
        self.machine.learn(reply);
        self.machine.at(now);
    }
}
