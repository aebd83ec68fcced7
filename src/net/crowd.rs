use std::sync::Arc;

use super::proxy::Options;

/// How many connections there are, and how many there may be. One that is over is not counted, however it ended.
#[derive(Debug)]
pub(super) struct Crowd {
    inside: Arc<()>,
    dialling: Arc<()>,
    max_connections: Option<usize>,
    max_dialling: usize,
    /// Whether it has been said that those who dial must wait.
    full: bool,
}

/// One place, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    _one: Arc<()>,
}

impl Crowd {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            inside: Arc::default(),
            dialling: Arc::default(),
            max_connections: options.max_connections,
            max_dialling: options.max_dialling,
            full: false,
        }
    }

    /// The connections that there are.
    pub(super) fn connections(&self) -> usize {
        Arc::strong_count(&self.inside) - 1
    }

    /// A place for one more connection, until its end.
    pub(super) fn enter(&self) -> Place {
        Place { _one: Arc::clone(&self.inside) }
    }

    /// A place for one more that is being dialled.
    pub(super) fn dial(&self) -> Place {
        Place { _one: Arc::clone(&self.dialling) }
    }

    /// Whether one more may come in. That none may is logged once, until a quarter of the places is free again.
    pub(super) fn has_room(&mut self) -> bool {
        let (connections, dialling) = (self.connections(), Arc::strong_count(&self.dialling) - 1);
        if let Some(most) = self.max_connections.filter(|&most| connections >= most) {
            self.note_full("connections are open", most);
            return false;
        }
        if dialling >= self.max_dialling {
            self.note_full("connections are being dialled", self.max_dialling);
            return false;
        }
        let calm = |count: usize, most: usize| count <= most - most.div_ceil(4);
        if self.full
            && self.max_connections.is_none_or(|most| calm(connections, most))
            && calm(dialling, self.max_dialling)
        {
            self.full = false;
            tracing::info!(connections, "connections are accepted again");
        }
        true
    }

    fn note_full(&mut self, what: &str, most: usize) {
        if !std::mem::replace(&mut self.full, true) {
            tracing::warn!("{most} {what}, the most that may be: others wait until one of them ends");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crowd(max_connections: Option<usize>, max_dialling: usize) -> Crowd {
        Crowd::new(&Options { max_connections, max_dialling, ..Options::default() })
    }

    #[test]
    fn one_that_is_over_makes_room_however_it_ended() {
        let mut crowd = crowd(Some(2), 9);
        let (first, second) = (crowd.enter(), crowd.enter());
        assert!(!crowd.has_room() && crowd.full);
        drop(first);
        assert!(crowd.has_room());
        let panicked = std::thread::spawn(move || {
            let _held = second;
            panic!("as a task may");
        });
        assert!(panicked.join().is_err());
        assert_eq!(crowd.connections(), 0);
        assert!(crowd.has_room() && !crowd.full);
    }

    #[test]
    fn those_that_are_being_dialled_have_a_bound_of_their_own() {
        let mut crowd = crowd(None, 1);
        let (_inside, dialling) = (crowd.enter(), crowd.dial());
        assert!(!crowd.has_room());
        drop(dialling);
        assert!(crowd.has_room());
    }
}
