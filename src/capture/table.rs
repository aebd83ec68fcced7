use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::ControlFlow;

use crate::Timestamp;

use super::Event;
use super::Identity;
use super::Remark;
use super::What;
use super::comments::Comments;
use super::connection::Connection;
use super::dialled::Dialled;
use super::packet::Segment;
use super::remark::MARK;

/// How many connections that are over are kept, so that their stragglers do not look like new ones.
const OVER_LIMIT: usize = 1024;

type Emit<'e> = dyn FnMut(Event<'_>) -> ControlFlow<()> + 'e;
/// The two addresses of a connection, the smaller one first.
type Key = (SocketAddr, SocketAddr);

/// The connections of a capture.
#[derive(Debug, Default)]
pub(super) struct Table {
    connections: BTreeMap<Key, Connection>,
    over: VecDeque<(Key, u32)>,
    dialled: Dialled,
}

impl Table {
    /// Takes in one packet. `count` is how many connections there were so far, which gives a new one its number.
    pub(super) fn packet(
        &mut self,
        at: Timestamp,
        segment: &Segment<'_>,
        comments: Comments<'_>,
        count: &mut u32,
        out: &mut Emit<'_>,
    ) -> ControlFlow<()> {
        let own = Own::of(comments);
        let key = (segment.from.min(segment.to), segment.from.max(segment.to));
        let mut go_on = ControlFlow::Continue(());
        if segment.syn
            && let Some(old) = self.connections.get_mut(&key)
            && !old.owns_syn(segment)
        {
            let conn = old.number;
            old.finish(&mut |what| go_on = out(Event { at, conn, what }));
            self.connections.remove(&key);
        }
        if !self.connections.contains_key(&key) {
            let says_something = segment.syn
                || segment.fin
                || segment.rst
                || !segment.payload.is_empty()
                || segment.missing > 0
                || own.identity.is_some();
            if !says_something {
                return go_on;
            }
            *count = count.saturating_add(1);
            let sender_is_dialler = self.dialled.sender_is_dialler(segment);
            let (dialler, upstream) = if own.sender_is_dialler(segment).unwrap_or(sender_is_dialler) {
                (segment.from, segment.to)
            } else {
                (segment.to, segment.from)
            };
            self.connections.insert(key, Connection::new(*count, dialler, upstream));
            go_on = out(Event { at, conn: *count, what: What::Opened { dialler, upstream } });
        }
        let Some(connection) = self.connections.get_mut(&key) else { return go_on };
        let conn = connection.number;
        let was_over = connection.is_over();
        connection.is_own |= own.is_own;
        for text in comments {
            let from = connection.side_of(segment.from);
            go_on = out(Event { at, conn, what: What::Comment { from, text: &text } });
        }
        connection.packet(at, segment, &mut |what| go_on = out(Event { at, conn, what }));
        if connection.is_over() && !was_over {
            self.over.push_back((key, conn));
        }
        if self.over.len() > OVER_LIMIT
            && let Some((key, number)) = self.over.pop_front()
            && let Some(old) = self.connections.get_mut(&key)
            && old.number == number
        {
            old.finish(&mut |what| go_on = out(Event { at, conn: number, what }));
            self.connections.remove(&key);
        }
        go_on
    }

    /// The capture ends.
    pub(super) fn finish(self, at: Timestamp, out: &mut Emit<'_>) {
        let mut left: Vec<Connection> = self.connections.into_values().collect();
        left.sort_by_key(|connection| connection.number);
        for mut connection in left {
            let conn = connection.number;
            let mut go_on = ControlFlow::Continue(());
            connection.finish(&mut |what| go_on = out(Event { at, conn, what }));
            if go_on.is_break() {
                return;
            }
        }
    }
}

/// What comments tell where the tool itself has recorded.
#[derive(Clone, Copy, Default)]
struct Own {
    is_own: bool,
    identity: Option<Identity>,
}

impl Own {
    fn of(comments: Comments<'_>) -> Self {
        let mut own = Self::default();
        if comments.is_empty() {
            return own;
        }
        for text in comments.filter(|text| text.starts_with(MARK)) {
            own.is_own = true;
            if let Ok(Remark::Connection(identity)) = text.parse() {
                own.identity = Some(identity);
            }
        }
        own
    }

    fn sender_is_dialler(&self, segment: &Segment<'_>) -> Option<bool> {
        let dialled = self.identity?.dialled;
        let is = |addr: SocketAddr| addr.port() == dialled.port() && addr.ip() == dialled.ip().to_canonical();
        match (is(segment.to), is(segment.from)) {
            (true, false) => Some(true),
            (false, true) => Some(false),
            _ => None,
        }
    }
}
