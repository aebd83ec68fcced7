use std::sync::Arc;

use super::Options;
use super::Recording;
use super::Script;
use super::consumer::Consumer;
use super::producer::Producer;
use crate::Timestamp;
use crate::journal::How;
use crate::journal::Role;
use crate::verdict::Finding;

/// Plays one end of a recorded connection, as bytes and times: whoever drives it has the socket and the clock.
///
/// The contract is that of [`crate::node::Connection`]: after each [`Player::feed`], [`Player::closed`] or
/// [`Player::wakeup`], and whenever the socket takes more, [`Player::pull`] until it appends nothing; then look at
/// [`Player::closing`], and wait until [`Player::next_wakeup`].
#[derive(Debug)]
pub struct Player {
    end: Playing,
}

#[derive(Debug)]
enum Playing {
    Consumer(Box<Consumer>),
    Producer(Box<Producer>),
}

impl Player {
    /// Plays the end in `role` of one of the recording's scripts, on a connection that was just made.
    pub fn new(recording: &Recording, script: Arc<Script>, role: Role, options: Options, now: Timestamp) -> Self {
        let logs = Arc::clone(&recording.logs);
        let end = match role {
            Role::Consumer => Playing::Consumer(Box::new(Consumer::new(script, logs, options, now))),
            Role::Producer => Playing::Producer(Box::new(Producer::new(script, logs, options, now))),
        };
        Self { end }
    }

    /// Takes bytes that came from the live end.
    pub fn feed(&mut self, bytes: &[u8], now: Timestamp) {
        match &mut self.end {
            Playing::Consumer(consumer) => consumer.feed(bytes, now),
            Playing::Producer(producer) => producer.feed(bytes, now),
        }
    }

    /// Takes note that the live end closed its direction.
    pub fn closed(&mut self, how: How, now: Timestamp) {
        match &mut self.end {
            Playing::Consumer(consumer) => consumer.closed(how, now),
            Playing::Producer(producer) => producer.closed(how, now),
        }
    }

    /// Does what is due, when the time that [`Player::next_wakeup`] gave has come.
    pub fn wakeup(&mut self, now: Timestamp) {
        match &mut self.end {
            Playing::Consumer(consumer) => consumer.wakeup(now),
            Playing::Producer(producer) => producer.wakeup(now),
        }
    }

    /// When [`Player::wakeup`] is to be called, if nothing happens before.
    pub fn next_wakeup(&self) -> Option<Timestamp> {
        match &self.end {
            Playing::Consumer(consumer) => consumer.next_wakeup(),
            Playing::Producer(producer) => producer.next_wakeup(),
        }
    }

    /// Appends about `budget` bytes that are ready to go out, if there are any.
    pub fn pull(&mut self, to: &mut Vec<u8>, budget: usize, now: Timestamp) {
        match &mut self.end {
            Playing::Consumer(consumer) => consumer.pull(to, budget),
            Playing::Producer(producer) => producer.pull(to, budget, now),
        }
    }

    /// Whether the connection is to be closed, once what was pulled has been written.
    pub fn closing(&self) -> Option<How> {
        match &self.end {
            Playing::Consumer(consumer) => consumer.closing(),
            Playing::Producer(producer) => producer.closing(),
        }
    }

    /// Whether more may be read: false while the live end does not read what it was answered.
    pub fn wants_input(&self) -> bool {
        let waiting = match &self.end {
            Playing::Consumer(consumer) => consumer.waiting(),
            Playing::Producer(producer) => producer.waiting(),
        };
        waiting < ANSWERS_LIMIT
    }

    /// Whether all that can be played has been played.
    pub fn is_over(&self) -> bool {
        match &self.end {
            Playing::Consumer(consumer) => consumer.is_over(),
            Playing::Producer(producer) => producer.is_over(),
        }
    }

    /// Whether the live end was one that speaks DCP: a consumer that never opened it was looking for something else.
    pub fn was_wanted(&self) -> bool {
        match &self.end {
            Playing::Consumer(_) => true,
            Playing::Producer(producer) => producer.has_opened(),
        }
    }

    /// Why the live end does not let the user in, where it does not.
    pub fn refused(&self) -> Option<&str> {
        match &self.end {
            Playing::Consumer(consumer) => consumer.refused(),
            Playing::Producer(_) => None,
        }
    }

    /// Whether the recording was played to its end, and with `diff` what the live end did differently from it.
    pub fn findings(&self, diff: bool) -> Vec<Finding> {
        match &self.end {
            Playing::Consumer(consumer) => consumer.findings(diff),
            Playing::Producer(producer) => producer.findings(diff),
        }
    }
}

/// Answers may pile up so far before reading should stop.
const ANSWERS_LIMIT: usize = 256 * 1024;
