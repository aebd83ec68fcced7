// What toxiproxy's own client for Go can ask of dcproxy, with toxiproxy's own toxics: it is not told which of the two it talks to.
package clients

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"reflect"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2/client"
)

var (
	client = toxiproxy.NewClient(os.Getenv("TOXIPROXY_URL"))
	echo   = os.Getenv("ECHO")  // answers with what it is sent
	shout  = os.Getenv("SHOUT") // likewise, in capitals
)

func create(t *testing.T, name, upstream string) *toxiproxy.Proxy {
	t.Helper()
	proxy, err := client.CreateProxy(name, "127.0.0.1:0", upstream)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = proxy.Delete() })
	return proxy
}

func connect(t *testing.T, proxy *toxiproxy.Proxy) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", proxy.Listen)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// ask sends a word and gives what comes back, and how long that took.
func ask(t *testing.T, conn net.Conn, word string) (string, time.Duration) {
	t.Helper()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	began := time.Now()
	if _, err := io.WriteString(conn, word); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, len(word))
	if _, err := io.ReadFull(conn, answer); err != nil {
		t.Fatal(err)
	}
	return string(answer), time.Since(began)
}

func refused(address string) bool {
	conn, err := net.Dial("tcp", address)
	if err == nil {
		_ = conn.Close()
	}
	return err != nil
}

func wantStatus(t *testing.T, err error, status int, message string) {
	t.Helper()
	var api *toxiproxy.ApiError
	if !errors.As(err, &api) || api.Status != status || api.Message != message {
		t.Errorf("expected %d %q, found %v", status, message, err)
	}
}

func TestProxiesAreCreatedListedChangedAndDeleted(t *testing.T) {
	if version, err := client.Version(); err != nil || len(version) == 0 {
		t.Fatalf("version %q, %v", version, err)
	}
	proxy := create(t, "go", echo)
	if answer, _ := ask(t, connect(t, proxy), "hello"); answer != "hello" {
		t.Errorf("found %q", answer)
	}
	got, err := client.Proxy("go")
	if err != nil || got.Listen != proxy.Listen || got.Upstream != echo || !got.Enabled || len(got.ActiveToxics) != 0 {
		t.Errorf("found %+v, %v", got, err)
	}
	if all, err := client.Proxies(); err != nil || all["go"] == nil || all["go"].Listen != proxy.Listen {
		t.Errorf("found %v, %v", all, err)
	}

	listen, open := proxy.Listen, connect(t, proxy)
	ask(t, open, "there")
	if err := proxy.Disable(); err != nil || proxy.Enabled {
		t.Fatalf("still enabled: %v", err)
	}
	if !refused(listen) {
		t.Error("a disabled proxy takes connections")
	}
	_ = open.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := open.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a disabled proxy keeps its connections: %v", err)
	}
	if err := proxy.Enable(); err != nil || proxy.Listen != listen {
		t.Fatalf("expected %s again, found %s, %v", listen, proxy.Listen, err)
	}

	proxy.Upstream = shout
	if err := proxy.Save(); err != nil {
		t.Fatal(err)
	}
	if answer, _ := ask(t, connect(t, proxy), "hello"); answer != "HELLO" {
		t.Errorf("found %q of the new upstream", answer)
	}
	proxy.Listen = "127.0.0.1:0"
	if err := proxy.Save(); err != nil || proxy.Listen == listen || !refused(listen) {
		t.Errorf("expected another address than %s, found %s, %v", listen, proxy.Listen, err)
	}
	ask(t, connect(t, proxy), "hello")

	if err := proxy.Delete(); err != nil || !refused(proxy.Listen) {
		t.Errorf("not deleted: %v", err)
	}
	_, err = client.Proxy("go")
	wantStatus(t, err, http.StatusNotFound, "proxy not found")
}

func TestEachToxicIsAddedListedUpdatedAndRemoved(t *testing.T) {
	proxy := create(t, "go-toxics", echo)
	for _, toxic := range []toxiproxy.Toxic{
		{Type: "latency", Attributes: toxiproxy.Attributes{"latency": 5.0, "jitter": 1.0}},
		{Type: "bandwidth", Attributes: toxiproxy.Attributes{"rate": 1000.0}},
		{Type: "slow_close", Attributes: toxiproxy.Attributes{"delay": 10.0}},
		{Type: "timeout", Attributes: toxiproxy.Attributes{"timeout": 60000.0}},
		{Type: "reset_peer", Attributes: toxiproxy.Attributes{"timeout": 60000.0}},
		{Type: "slicer", Attributes: toxiproxy.Attributes{"average_size": 64.0, "size_variation": 32.0, "delay": 10.0}},
		{Type: "limit_data", Attributes: toxiproxy.Attributes{"bytes": 100000.0}},
	} {
		for _, stream := range []string{"upstream", "downstream"} {
			want := toxiproxy.Toxic{Name: toxic.Type + "_" + stream, Type: toxic.Type, Stream: stream, Toxicity: 1, Attributes: toxic.Attributes}
			added, err := proxy.AddToxic("", toxic.Type, stream, 1, toxic.Attributes)
			if err != nil || !reflect.DeepEqual(*added, want) {
				t.Errorf("expected %v, found %v, %v", want, added, err)
			}
		}
	}
	if toxics, err := proxy.Toxics(); err != nil || len(toxics) != 14 {
		t.Errorf("expected 14 toxics, found %v, %v", toxics, err)
	}
	changed, err := proxy.UpdateToxic("latency_upstream", 0.5, toxiproxy.Attributes{"latency": 7})
	want := toxiproxy.Attributes{"latency": 7.0, "jitter": 1.0}
	if err != nil || changed.Toxicity != 0.5 || !reflect.DeepEqual(changed.Attributes, want) {
		t.Errorf("expected %v at 0.5, found %v, %v", want, changed, err)
	}
	if err := proxy.RemoveToxic("latency_upstream"); err != nil {
		t.Error(err)
	}
	if toxics, err := proxy.Toxics(); err != nil || len(toxics) != 13 {
		t.Errorf("expected 13 toxics, found %v, %v", toxics, err)
	}
}

func TestLatencyIsMeasuredOnAConnectionThatIsOpen(t *testing.T) {
	proxy := create(t, "go-latency", echo)
	conn := connect(t, proxy)
	ask(t, conn, "before")
	if _, err := proxy.AddToxic("slow", "latency", "downstream", 1, toxiproxy.Attributes{"latency": 500}); err != nil {
		t.Fatal(err)
	}
	if _, took := ask(t, conn, "slow"); took < 500*time.Millisecond || took > 2*time.Second {
		t.Errorf("expected 500 ms, took %v", took)
	}
	if err := proxy.RemoveToxic("slow"); err != nil {
		t.Fatal(err)
	}
	if _, took := ask(t, conn, "after"); took >= 500*time.Millisecond {
		t.Errorf("expected no latency any more, took %v", took)
	}
}

func TestResetEnablesProxiesAndRemovesToxics(t *testing.T) {
	proxy := create(t, "go-reset", echo)
	if _, err := proxy.AddToxic("", "timeout", "upstream", 1, toxiproxy.Attributes{"timeout": 0}); err != nil {
		t.Fatal(err)
	}
	if err := proxy.Disable(); err != nil {
		t.Fatal(err)
	}
	if err := client.ResetState(); err != nil {
		t.Fatal(err)
	}
	got, err := client.Proxy("go-reset")
	if err != nil || !got.Enabled || len(got.ActiveToxics) != 0 {
		t.Fatalf("found %+v, %v", got, err)
	}
	ask(t, connect(t, got), "hello")
}

func TestPopulateMakesProxiesAndKeepsThoseThatAreAsWanted(t *testing.T) {
	made, err := client.Populate([]toxiproxy.Proxy{
		{Name: "go-one", Listen: "127.0.0.1:0", Upstream: echo, Enabled: true},
		{Name: "go-two", Listen: "127.0.0.1:0", Upstream: echo, Enabled: true},
	})
	if err != nil || len(made) != 2 {
		t.Fatalf("found %v, %v", made, err)
	}
	for _, proxy := range made {
		t.Cleanup(func() { _ = proxy.Delete() })
	}
	kept := connect(t, made[0])
	again, err := client.Populate([]toxiproxy.Proxy{
		{Name: "go-one", Listen: made[0].Listen, Upstream: echo, Enabled: true},
		{Name: "go-two", Listen: made[1].Listen, Upstream: shout, Enabled: true},
	})
	if err != nil || len(again) != 2 || again[1].Upstream != shout {
		t.Fatalf("found %v, %v", again, err)
	}
	ask(t, kept, "hello")
	if answer, _ := ask(t, connect(t, again[1]), "hello"); answer != "HELLO" {
		t.Errorf("found %q of the new upstream", answer)
	}
}

func TestErrorsAreToxiproxys(t *testing.T) {
	proxy := create(t, "go-errors", echo)
	_, err := client.CreateProxy("go-errors", "127.0.0.1:0", echo)
	wantStatus(t, err, http.StatusConflict, "proxy already exists")
	_, err = client.CreateProxy("go-nowhere", "127.0.0.1:0", "")
	wantStatus(t, err, http.StatusBadRequest, "missing required field: upstream")
	_, err = client.Proxy("nobody")
	wantStatus(t, err, http.StatusNotFound, "proxy not found")
	_, err = proxy.AddToxic("", "no_such_type", "upstream", 1, nil)
	wantStatus(t, err, http.StatusBadRequest, "invalid toxic type")
	_, err = proxy.AddToxic("", "latency", "sideways", 1, nil)
	wantStatus(t, err, http.StatusBadRequest, "stream was invalid, can be either upstream or downstream")
	if _, err = proxy.AddToxic("twice", "latency", "upstream", 1, nil); err != nil {
		t.Fatal(err)
	}
	_, err = proxy.AddToxic("twice", "latency", "upstream", 1, nil)
	wantStatus(t, err, http.StatusConflict, "toxic already exists")
	_, err = proxy.UpdateToxic("nobody", 1, nil)
	wantStatus(t, err, http.StatusNotFound, "toxic not found")
	wantStatus(t, proxy.RemoveToxic("nobody"), http.StatusNotFound, "toxic not found")
}
