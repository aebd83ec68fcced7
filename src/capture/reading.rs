use std::ops::ControlFlow;

use super::CaptureError;
use super::Event;
use super::Summary;
use super::What;
use super::comments::Comments;
use super::file::PacketFile;
use super::files::Latest;
use super::fragments::Fragments;
use super::packet;
use super::packet::Segment;
use super::packet::Sliced;
use super::table::Table;
use crate::Timestamp;

/// Who is told what is read, with the name of the file.
pub(super) type Out<'o> = &'o mut dyn FnMut(&str, Event<'_>) -> ControlFlow<()>;

/// One capture: a file, or several that continue each other.
#[derive(Debug, Default)]
pub(super) struct Group {
    table: Table,
    fragments: Fragments,
    latest: Latest,
}

impl Group {
    pub(super) const fn latest(&self) -> &Latest {
        &self.latest
    }
}

/// Reads captures packet by packet, and counts.
pub(super) struct Reading<'o> {
    told: Told<'o>,
    connections: u32,
    counts: Summary,
}

impl<'o> Reading<'o> {
    pub(super) fn new(out: Out<'o>) -> Self {
        let told = Told { out, go_on: ControlFlow::Continue(()), gaps: 0, missing_bytes: 0 };
        Self { told, connections: 0, counts: Summary::default() }
    }

    /// Reads every packet of a file, as the next of its group, unless it is told to stop.
    pub(super) fn file(&mut self, name: &str, mut file: PacketFile<'_>, group: &mut Group) -> Result<(), CaptureError> {
        group.latest.name = name.to_owned();
        let before = self.counts;
        let mut unknown = None;
        let mut begun = false;
        while let Some(packet) = file.next()? {
            self.counts.packets = self.counts.packets.saturating_add(1);
            if !std::mem::replace(&mut begun, true) {
                group.latest.begin = packet.at;
            }
            group.latest.last = group.latest.last.max(packet.at);
            let counter = match packet::slice(packet.link, packet.wire_len, packet.bytes) {
                Sliced::Tcp(segment) => {
                    if self.segment(packet.at, &segment, packet.comments, group).is_break() {
                        return Ok(());
                    }
                    continue;
                }
                Sliced::Fragment(fragment) => {
                    if let Some(whole) = group.fragments.take(packet.at, &fragment)
                        && let Some(segment) = packet::tcp(whole.from, whole.to, &whole.bytes, 0)
                        && self.segment(packet.at, &segment, packet.comments, group).is_break()
                    {
                        return Ok(());
                    }
                    &mut self.counts.fragments
                }
                Sliced::Other => &mut self.counts.other_packets,
                Sliced::UnknownLink => {
                    unknown.get_or_insert(packet.link);
                    &mut self.counts.unknown_links
                }
            };
            *counter = counter.saturating_add(1);
        }
        let read = |count: fn(&Summary) -> u64| count(&self.counts).saturating_sub(count(&before));
        match unknown {
            Some(link) if read(|counts| counts.unknown_links) == read(|counts| counts.packets) => {
                Err(CaptureError::UnknownLink(link))
            }
            _ => Ok(()),
        }
    }

    fn segment(
        &mut self,
        at: Timestamp,
        segment: &Segment<'_>,
        comments: Comments<'_>,
        group: &mut Group,
    ) -> ControlFlow<()> {
        let (told, name) = (&mut self.told, &group.latest.name);
        group.table.packet(at, segment, comments, &mut self.connections, &mut |event| told.pass(name, event))
    }

    /// Nothing continues this capture: brings its connections to their end.
    pub(super) fn finish(&mut self, group: Group) {
        self.counts.lost_fragments = self.counts.lost_fragments.saturating_add(group.fragments.lost());
        let (told, name) = (&mut self.told, &group.latest.name);
        group.table.finish(group.latest.last, &mut |event| told.pass(name, event));
    }

    /// Whether it was told to stop.
    pub(super) fn has_stopped(&self) -> bool {
        self.told.go_on.is_break()
    }

    pub(super) const fn summary(&self) -> Summary {
        let (gaps, missing_bytes) = (self.told.gaps, self.told.missing_bytes);
        Summary { connections: self.connections, gaps, missing_bytes, ..self.counts }
    }
}

/// Hands on what is told, until it is told to stop, and counts it.
struct Told<'o> {
    out: Out<'o>,
    go_on: ControlFlow<()>,
    gaps: u64,
    missing_bytes: u64,
}

impl Told<'_> {
    fn pass(&mut self, name: &str, event: Event<'_>) -> ControlFlow<()> {
        if self.go_on.is_break() {
            return self.go_on;
        }
        if let What::Gap { bytes, .. } = event.what {
            self.gaps = self.gaps.saturating_add(1);
            self.missing_bytes = self.missing_bytes.saturating_add(bytes.unwrap_or_default());
        }
        self.go_on = (self.out)(name, event);
        self.go_on
    }
}
