use std::any::Any;

use bytes::Bytes;

use super::Directory;
use super::MAX_MAP_LEN;
use super::Trouble;
use super::carrier::Carrier;
use super::carrier::rewritten;
use crate::Timestamp;
use crate::engine::Action;
use crate::engine::Actions;
use crate::engine::Event;
use crate::engine::Interceptor;
use crate::engine::Sessions;
use crate::journal::Side;
use crate::wire::Frame;
use crate::wire::Header;

/// Rewrites the maps that a node sends on a KV connection, behind an interceptor that takes steps, or by itself: then
/// nothing is armed. All other frames go on as they came, or as the other interceptor wants.
///
/// A map that cannot be rewritten does not reach the client, so that no client leaves the proxy: the answer is that it is
/// temporarily not there, a refusal or a notice comes without it. The directory tells the user.
pub struct Rewriting {
    inner: Option<Box<dyn Interceptor>>,
    directory: Box<dyn Directory>,
}

impl std::fmt::Debug for Rewriting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rewriting").field("inner", &self.inner.is_some()).finish_non_exhaustive()
    }
}

/// Where the clients are whose maps are rewritten: those who dial the proxy.
const CLIENT: Side = Side::Dialler;
/// Who sends maps.
const NODE: Side = Side::Upstream;

impl Rewriting {
    /// Rewrites what goes to the dialler, and else does as `inner` does.
    pub fn new(inner: Option<Box<dyn Interceptor>>, directory: Box<dyn Directory>) -> Self {
        Self { inner, directory }
    }

    /// What becomes of a frame of the upstream's that carries a map, where nobody else says.
    fn fate(&mut self, carrier: Carrier, frame: &Frame<'_>) -> Actions {
        match rewritten(frame, &mut *self.directory) {
            Ok(bytes) => vec![Action::Readdress(bytes)],
            Err(why) => {
                self.directory.told(&Trouble::Refused(why));
                let instead = carrier.without_map(frame);
                if frame.is_whole() {
                    return vec![Action::Replace(instead)];
                }
                // What stands for the head of a frame whose value flows by would be followed by that.
                vec![Action::Drop, Action::Append { to: CLIENT, frame: instead }]
            }
        }
    }

    /// A frame that the other interceptor sends to the client, perhaps a copy of one that came. What is no frame with a map
    /// in it is as it is meant to be, however broken.
    fn sent(&mut self, bytes: &mut Bytes) {
        let Ok(frame) = Frame::new(bytes) else { return };
        if frame.is_whole()
            && Carrier::of(frame.header()).is_some()
            && let Ok(new) = rewritten(&frame, &mut *self.directory)
        {
            *bytes = new;
        }
    }
}

impl Interceptor for Rewriting {
    fn on_event(&mut self, event: &Event<'_>, sessions: &Sessions, now: Timestamp) -> Actions {
        let mut actions = self.inner.as_mut().map(|inner| inner.on_event(event, sessions, now)).unwrap_or_default();
        let carried = match event {
            Event::Frame { from: NODE, frame, .. } => Some((frame, Carrier::of(frame.header()))),
            Event::Frame { .. }
            | Event::Answer { .. }
            | Event::Raw { .. }
            | Event::Closed { .. }
            | Event::Paused { .. }
            | Event::Wakeup
            | Event::Settle => None,
        };
        for action in &mut actions {
            if let Action::Inject { to: CLIENT, frame }
            | Action::Append { to: CLIENT, frame }
            | Action::Resume { to: CLIENT, frame } = action
            {
                self.sent(frame);
            } else if let (Action::Replace(bytes), Some(_)) = (action, carried) {
                self.sent(bytes);
            }
        }
        if matches!(event, Event::Raw { from: NODE }) {
            self.directory.told(&Trouble::NotFramed);
        }
        let Some((frame, Some(carrier))) = carried else { return actions };
        let named = actions.iter().position(Action::is_fate);
        if named.is_none_or(|at| actions.get(at) == Some(&Action::Forward)) {
            let at = named.unwrap_or_else(|| actions.iter().take_while(|action| action.is_gate()).count());
            let forward = at..at.saturating_add(usize::from(named.is_some()));
            actions.splice(forward, self.fate(carrier, frame));
        }
        actions
    }

    /// A mutation carries no map.
    fn bears_stretch(&self, event: &Event<'_>, now: Timestamp) -> bool {
        self.inner.as_ref().is_none_or(|inner| inner.bears_stretch(event, now))
    }

    fn wakeup(&self) -> Option<Timestamp> {
        self.inner.as_ref()?.wakeup()
    }

    fn is_settled(&self) -> bool {
        self.inner.as_ref().is_none_or(|inner| inner.is_settled())
    }

    fn is_armed(&self) -> bool {
        self.inner.as_ref().is_some_and(|inner| inner.is_armed())
    }

    fn stepper(&mut self) -> Option<&mut dyn Any> {
        self.inner.as_mut()?.stepper()
    }

    fn whole_limit(&self, from: Side, header: &Header) -> Option<usize> {
        let inner = self.inner.as_ref().and_then(|inner| inner.whole_limit(from, header));
        let own =
            (from != CLIENT && Carrier::of(header).is_some()).then(|| header.head_len().saturating_add(MAX_MAP_LEN));
        inner.max(own)
    }
}
