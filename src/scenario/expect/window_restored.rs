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
        Watcher { of: self.common().of, most: 0, sent: 0 }
    }
}

#[derive(Debug)]
pub(super) struct Watcher {
    of: Role,
    /// The most that was outstanding since the step.
    most: u64,
    /// Charged bytes since the step.
    sent: u64,
}

impl Watch for Watcher {
    fn observe(&mut self, moment: &Moment<'_>) {
        self.most = self.most.max(moment.session.flow().outstanding());
        self.sent += u64::from(moment.context.charge);
    }

    fn outcome(&self, end: &End) -> Outcome {
        let Some(window) = end.now.window else { return Outcome::Unknown("flow control is off".to_owned()) };
        let over = end.now.over_acked.saturating_sub(end.before.over_acked);
        let outstanding = end.now.outstanding;
        match self.of {
            Role::Consumer if over > 0 => Outcome::No(format!("{over} bytes were acknowledged that were not charged")),
            Role::Consumer if outstanding > window / 5 => {
                end.unseen(&format!("{outstanding} bytes of a window of {window} are not acknowledged"))
            }
            Role::Consumer => {
                Outcome::Yes(format!("{outstanding} bytes of a window of {window} are left to acknowledge"))
            }
            Role::Producer if self.most >= window || self.sent > window => {
                Outcome::Yes(format!("{} bytes were sent, up to {} at once", self.sent, self.most))
            }
            Role::Producer => end.unseen(&format!("{} bytes were sent, up to {} at once", self.sent, self.most)),
        }
    }
}
