use super::End;
use super::Moment;
use super::Outcome;
use super::Watch;
use super::expectation;
use super::name_of;

expectation! {
    /// The end closes the connection, by FIN or RST.
    Disconnect of Producer {}
}

impl Disconnect {
    pub(super) fn demand(&self) -> String {
        format!("{} closes the connection", name_of(self.common().of))
    }

    #[expect(clippy::unused_self, reason = "each has a watch of its own")]
    pub(super) const fn watch(&self) -> Watcher {
        Watcher { seen: None }
    }
}

#[derive(Debug)]
pub(super) struct Watcher {
    seen: Option<u128>,
}

impl Watch for Watcher {
    fn observe(&mut self, moment: &Moment<'_>) {
        if moment.closes() {
            self.seen.get_or_insert(moment.ms());
        }
    }

    fn outcome(&self, end: &End) -> Outcome {
        match self.seen {
            Some(ms) => Outcome::Yes(format!("it closed after {ms} ms")),
            None => end.unseen("no close"),
        }
    }
}
