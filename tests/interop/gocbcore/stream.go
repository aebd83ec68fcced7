package main

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/couchbase/gocbcore/v10"
	"github.com/couchbase/gocbcore/v10/memd"
)

// received is what came of streaming every vbucket once.
type received struct {
	ends                      map[uint16]uint64
	came                      map[place]item
	servers                   int
	closed, resumed, repeated int
}

// ended says that a stream is over: err is nil at its end seqno.
type ended struct {
	vbucket uint16
	err     error
}

// stream streams every vbucket up to the seqnos given, or if none are given up to where it is at the start. A stream that is
// ended before that is requested again from where it was.
func stream(address string, o options, ends map[uint16]uint64) (*received, error) {
	config, err := config(address, o)
	if err != nil {
		return nil, err
	}
	agent, err := gocbcore.CreateDcpAgent(config, "dcproxy-interop", memd.DcpOpenFlagProducer|memd.DcpOpenFlagIncludeXattrs|memd.DcpOpenFlagIncludeDeleteTimes)
	if err != nil {
		return nil, err
	}
	// Nobody waits for that: where a connection is closed for a new map that came on itself, the library locks up (v10.8.1).
	defer func() { go agent.Close() }()
	deadline := time.Now().Add(o.timeout)
	err = wait(deadline, func(done func(error)) error {
		_, err := agent.WaitUntilReady(deadline, gocbcore.WaitUntilReadyOptions{}, func(_ *gocbcore.WaitUntilReadyResult, err error) { done(err) })
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("the agent is not ready: %w", err)
	}
	snapshot, err := agent.ConfigSnapshot()
	if err != nil {
		return nil, err
	}
	servers, err := snapshot.NumServers()
	if err != nil {
		return nil, err
	}
	if ends == nil {
		if ends, err = highSeqnos(agent, servers, deadline); err != nil {
			return nil, err
		}
	}
	if vbuckets, err := snapshot.NumVbuckets(); err != nil || vbuckets != len(ends) {
		return nil, fmt.Errorf("expected the seqnos of %d vbuckets, found %d: %w", vbuckets, len(ends), err)
	}

	all := &received{ends: ends, came: map[place]item{}}
	over := make(chan ended, 2*len(ends))
	count := &counter{changes: o.changes, wanted: int64(o.closes), user: o.user, password: o.password, failed: make(chan error, len(o.changes))}
	observers := map[uint16]*observer{}
	for vbucket := range ends {
		observers[vbucket] = &observer{vbucket: vbucket, end: ends[vbucket], over: over, count: count, came: map[place]item{}}
	}
	for _, vbucket := range slices.Sorted(maps.Keys(observers)) {
		if err := observers[vbucket].open(agent, deadline); err != nil {
			return nil, fmt.Errorf("vbucket %d: %w", vbucket, err)
		}
	}
	for left := len(ends); left > 0; {
		select {
		case end := <-over:
			one := observers[end.vbucket]
			if end.err == nil {
				left--
				continue
			}
			all.closed++
			count.closed.Add(1)
			// What ends a stream of a vbucket that is still there: it was closed, or its state changed.
			if !errors.Is(end.err, gocbcore.ErrDCPStreamStateChanged) && !errors.Is(end.err, gocbcore.ErrDCPStreamClosed) &&
				!errors.Is(end.err, gocbcore.ErrSocketClosed) {
				return nil, fmt.Errorf("vbucket %d: its stream ended: %w", end.vbucket, end.err)
			}
			if err := one.open(agent, deadline); err != nil {
				return nil, fmt.Errorf("vbucket %d: requested again from seqno %d: %w", end.vbucket, one.last, err)
			}
			all.resumed++
		case err := <-count.failed:
			return nil, err
		case <-time.After(time.Until(deadline)):
			return nil, fmt.Errorf("%w with %d of %d streams open: %s", errTimeout, left, len(ends), stuck(observers))
		}
	}
	time.Sleep(o.linger)
	// As many as there are in the end: they may have become more or fewer meanwhile.
	if snapshot, err = agent.ConfigSnapshot(); err != nil {
		return nil, err
	}
	if all.servers, err = snapshot.NumServers(); err != nil {
		return nil, err
	}
	for _, one := range observers {
		maps.Copy(all.came, one.came)
		all.repeated += one.repeated
	}
	return all, nil
}

// counter counts what comes, and changes the cluster when it is time for that.
type counter struct {
	came, closed   atomic.Int64
	wanted         int64
	changes        []change
	user, password string
	failed         chan error
}

func (c *counter) one() {
	if c.closed.Load() < c.wanted {
		time.Sleep(time.Millisecond)
	}
	came := c.came.Add(1)
	for _, change := range c.changes {
		if change.after == came {
			go func() {
				if err := c.post(change.url); err != nil {
					c.failed <- err
				}
			}()
		}
	}
}

func (c *counter) post(url string) error {
	request, err := http.NewRequest(http.MethodPost, url, nil)
	if err != nil {
		return err
	}
	request.SetBasicAuth(c.user, c.password)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: expected status 200, found %s", url, response.Status)
	}
	return nil
}

func stuck(observers map[uint16]*observer) string {
	text := ""
	for _, vbucket := range slices.Sorted(maps.Keys(observers)) {
		one := observers[vbucket]
		one.lock.Lock()
		if one.last < one.end {
			text += fmt.Sprintf(" vbucket %d at %d of %d", vbucket, one.last, one.end)
		}
		one.lock.Unlock()
	}
	return text
}

// wait calls what answers later, and waits for the answer.
func wait(deadline time.Time, call func(done func(error)) error) error {
	answered := make(chan error, 1)
	if err := call(func(err error) { answered <- err }); err != nil {
		return err
	}
	select {
	case err := <-answered:
		return err
	case <-time.After(time.Until(deadline)):
		return errTimeout
	}
}

func highSeqnos(agent *gocbcore.DCPAgent, servers int, deadline time.Time) (map[uint16]uint64, error) {
	ends := map[uint16]uint64{}
	// The library counts servers from 1 here.
	for server := 1; server <= servers; server++ {
		err := wait(deadline, func(done func(error)) error {
			_, err := agent.GetVbucketSeqnos(server, memd.VbucketStateActive, gocbcore.GetVbucketSeqnoOptions{},
				func(entries []gocbcore.VbSeqNoEntry, err error) {
					for _, entry := range entries {
						ends[entry.VbID] = uint64(entry.SeqNo)
					}
					done(err)
				})
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("the high seqnos of server %d: %w", server, err)
		}
	}
	return ends, nil
}

// observer takes what comes on the streams of one vbucket, one after the other.
type observer struct {
	vbucket uint16
	end     uint64
	over    chan<- ended
	count   *counter

	lock      sync.Mutex
	vbuuid    gocbcore.VbUUID
	last      uint64
	snapStart uint64
	snapEnd   uint64
	next      [2]uint64
	came      map[place]item
	repeated  int
}

// open requests the stream from where it was.
func (o *observer) open(agent *gocbcore.DCPAgent, deadline time.Time) error {
	o.lock.Lock()
	last, vbuuid, snapStart, snapEnd := o.last, o.vbuuid, o.snapStart, o.snapEnd
	o.lock.Unlock()
	if last >= snapEnd {
		snapStart, snapEnd = last, last
	}
	return wait(deadline, func(done func(error)) error {
		_, err := agent.OpenStream(o.vbucket, 0, vbuuid, gocbcore.SeqNo(last), gocbcore.SeqNo(max(o.end, last)), gocbcore.SeqNo(snapStart),
			gocbcore.SeqNo(snapEnd), o, gocbcore.OpenStreamOptions{}, func(log []gocbcore.FailoverEntry, err error) {
				if err == nil && len(log) > 0 {
					o.lock.Lock()
					o.vbuuid = log[0].VbUUID
					o.lock.Unlock()
				}
				done(err)
			})
		return err
	})
}

func (o *observer) take(kind string, seqno uint64, hash string) {
	o.count.one()
	o.lock.Lock()
	defer o.lock.Unlock()
	at := place{o.vbucket, seqno}
	if _, came := o.came[at]; came || seqno <= o.last {
		o.repeated++
	}
	o.last = seqno
	o.snapStart, o.snapEnd = o.next[0], o.next[1]
	// A snapshot is sent to its end, where that is beyond the stream's.
	if seqno <= o.end {
		o.came[at] = item{kind, hash}
	}
}

func (o *observer) SnapshotMarker(m gocbcore.DcpSnapshotMarker) {
	o.lock.Lock()
	defer o.lock.Unlock()
	o.next = [2]uint64{m.StartSeqNo, m.EndSeqNo}
}

func (o *observer) Mutation(m gocbcore.DcpMutation) {
	o.take("mutation", m.SeqNo, hash(m.CollectionID, m.Key, m.Value, m.Cas, m.RevNo, m.Flags, m.Expiry, m.Datatype))
}

func (o *observer) Deletion(d gocbcore.DcpDeletion) {
	o.take("deletion", d.SeqNo, hash(d.CollectionID, d.Key, d.Value, d.Cas, d.RevNo))
}

func (o *observer) Expiration(e gocbcore.DcpExpiration) {
	o.take("expiration", e.SeqNo, hash(e.CollectionID, e.Key, e.Cas, e.RevNo))
}

func (o *observer) CreateCollection(e gocbcore.DcpCollectionCreation) {
	o.take("collection_create", e.SeqNo, hash(e.ManifestUID, e.ScopeID, e.CollectionID, e.Ttl, e.Key))
}

func (o *observer) DeleteCollection(e gocbcore.DcpCollectionDeletion) {
	o.take("collection_drop", e.SeqNo, hash(e.ManifestUID, e.ScopeID, e.CollectionID))
}

func (o *observer) FlushCollection(e gocbcore.DcpCollectionFlush) {
	o.take("collection_flush", e.SeqNo, hash(e.ManifestUID, e.CollectionID))
}

func (o *observer) CreateScope(e gocbcore.DcpScopeCreation) {
	o.take("scope_create", e.SeqNo, hash(e.ManifestUID, e.ScopeID, e.Key))
}

func (o *observer) DeleteScope(e gocbcore.DcpScopeDeletion) {
	o.take("scope_drop", e.SeqNo, hash(e.ManifestUID, e.ScopeID))
}

func (o *observer) ModifyCollection(e gocbcore.DcpCollectionModification) {
	o.take("collection_change", e.SeqNo, hash(e.ManifestUID, e.CollectionID, e.Ttl))
}

func (o *observer) OSOSnapshot(gocbcore.DcpOSOSnapshot) {}

func (o *observer) SeqNoAdvanced(a gocbcore.DcpSeqNoAdvanced) {
	o.lock.Lock()
	defer o.lock.Unlock()
	o.last = max(o.last, a.SeqNo)
	o.snapStart, o.snapEnd = o.last, o.last
}

func (o *observer) End(_ gocbcore.DcpStreamEnd, err error) { o.over <- ended{o.vbucket, err} }
