use std::io;
use std::sync::Arc;

use super::control::{Change, Place, Standing};
use super::{Destination, Door, Doors, Listeners, Route, Sockets, Upstream};

/// Where a proxy is entered: its listener can be closed, opened again, and moved.
#[derive(Debug)]
pub struct Entry {
    standing: Standing,
    route: Arc<Route>,
    sockets: Sockets,
    /// Why it cannot be moved, if it cannot.
    fixed: Option<&'static str>,
    /// Who holds its listener too, and by what name.
    held: Option<(Listeners, String)>,
}

impl Entry {
    /// One that stands so and is not open yet. `standing` says of the upstream what `route` does.
    pub const fn new(standing: Standing, route: Arc<Route>, sockets: Sockets) -> Self {
        Self { standing, route, sockets, fixed: None, held: None }
    }

    /// It cannot be moved, because of this.
    #[must_use]
    pub const fn fixed(mut self, why: &'static str) -> Self {
        self.fixed = Some(why);
        self
    }

    /// Its listener is held there too, by this name.
    #[must_use]
    pub fn held(mut self, by: Listeners, name: String) -> Self {
        self.held = Some((by, name));
        self
    }

    /// How it stands.
    pub const fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Why that cannot be done to it, if it cannot.
    pub(super) fn objection(&self, change: &Change) -> Option<&'static str> {
        self.fixed.filter(|_| self.standing.moves(change))
    }

    /// Where it is, and leads, from now on; it is not open.
    pub(super) fn move_to(&mut self, change: Change) {
        if let Some(listen) = change.listen.filter(|listen| !listen.is(&self.standing.listen)) {
            self.standing.listen = listen;
            // It is another listener than the one that is known by that name.
            self.held = None;
        }
        if let Some(upstream) = change.upstream {
            self.standing.upstream = upstream.text;
            let tls = self.route.upstream.tls().cloned();
            let to = Destination::Fixed(Upstream { target: upstream.target, tls });
            self.route = Arc::new(Route { upstream: to, tls: self.route.tls.clone() });
        }
    }

    /// Closes whatever is open: whoever dials is refused.
    pub(super) fn shut(&mut self, doors: &mut Doors) {
        doors.shut(self.standing.listen.addresses.first().copied());
        self.close();
    }

    fn close(&mut self) {
        self.standing.enabled = false;
        if let Some((listeners, name)) = &self.held {
            listeners.let_go(name);
        }
    }

    /// Opens it again, and what else was open with it: the listeners that a cluster's map has named. It keeps the port that
    /// it gets.
    ///
    /// # Errors
    /// It cannot be listened there.
    pub(super) fn open(&mut self, doors: &mut Doors) -> io::Result<()> {
        let main = self.listen()?;
        let others = doors.aside().iter().map(|(at, route)| {
            let listener = self.sockets.listen_on_one_of([*at], None)?;
            Ok(Door { listener, route: Arc::clone(route) })
        });
        match std::iter::once(Ok(main)).chain(others).collect() {
            Ok(open) => doors.reopen(open),
            Err(error) => {
                self.close();
                return Err(error);
            }
        }
        Ok(())
    }

    /// The first listener, which is open from now on.
    ///
    /// # Errors
    /// It cannot be listened there.
    pub(super) fn listen(&mut self) -> io::Result<Door> {
        let addresses = self.standing.listen.addresses.iter().copied();
        let listener = self.sockets.listen_on_one_of(addresses, self.route.upstream.transparent())?;
        let at = Place::from(listener.local_addr()?);
        if let Some((listeners, name)) = &self.held {
            listeners.hold(name, &listener)?;
        }
        self.standing.listen = at;
        self.standing.enabled = true;
        Ok(Door { listener, route: Arc::clone(&self.route) })
    }
}
