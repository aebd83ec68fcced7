use super::End;
use super::Moment;
use super::Outcome;
use super::Watch;
use super::expectation;
use crate::journal::Role;

expectation! {
    /// Nothing of the flow-control window is lost: of a consumer, every charged byte is acknowledged, but for what it may
    /// keep back (a fifth of the window), and none twice; of a producer, that it goes on sending while there is room.
    WindowRestored of Consumer {}
}

impl WindowRestored {
    pub(super) fn demand(&self) -> String {
        match self.common().of {
            Role::Consumer => "every charged byte is acknowledged, and none twice".to_owned(),
            Role::Producer => "the producer uses the window as before".to_owned(),
        }
    }

    pub(super) fn watch(&self) -> Watcher {
        Watcher { of: self.common().of, window: None, outstanding: 0, over: 0, over_before: None, most: 0, sent: 0 }
    }
}

#[derive(Debug)]
pub(super) struct Watcher {
    of: Role,
    window: Option<u32>,
    outstanding: u64,
    over: u64,
    over_before: Option<u64>,
    /// The most that was outstanding since the step.
    most: u64,
    /// Charged bytes since the step.
    sent: u64,
}

impl Watch for Watcher {
    fn observe(&mut self, moment: &Moment<'_>) {
        let flow = moment.session.flow();
        self.window = flow.window().filter(|_| flow.is_on());
        self.outstanding = flow.outstanding();
        self.over = flow.over_acked();
        self.over_before.get_or_insert(self.over);
        self.most = self.most.max(self.outstanding);
        self.sent += u64::from(moment.context.charge);
    }

    fn outcome(&self, end: &End) -> Outcome {
        let Some(window) = self.window else { return Outcome::Unknown("flow control is off".to_owned()) };
        let window = u64::from(window);
        match self.of {
            Role::Consumer if self.over > self.over_before.unwrap_or_default() => {
                let over = self.over - self.over_before.unwrap_or_default();
                Outcome::No(format!("{over} bytes were acknowledged that were not charged"))
            }
            Role::Consumer if self.outstanding > window / 5 => {
                end.unseen(&format!("{} bytes of a window of {window} are not acknowledged", self.outstanding))
            }
            Role::Consumer => {
                Outcome::Yes(format!("{} bytes of a window of {window} are left to acknowledge", self.outstanding))
            }
            Role::Producer if self.most >= window || self.sent > window => {
                Outcome::Yes(format!("{} bytes were sent, up to {} at once", self.sent, self.most))
            }
            Role::Producer => end.unseen(&format!("{} bytes were sent, up to {} at once", self.sent, self.most)),
        }
    }
}
