// docs:begin
package clients

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2/client"
)

func TestProducerCopesWithAStreamClosedMidTransfer(t *testing.T) {
	api := os.Getenv("TOXIPROXY_URL")
	proxy, err := toxiproxy.NewClient(api).CreateProxy("dcp", "127.0.0.1:0", os.Getenv("PRODUCER"))
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Delete()

	// The application under test, told the proxy's port instead of the producer's.
	_, port, _ := strings.Cut(proxy.Listen, ":")
	words := append(strings.Fields(os.Getenv("APPLICATION")), port)
	application := exec.Command(words[0], words[1:]...)
	if err := application.Start(); err != nil {
		t.Fatal(err)
	}
	defer application.Wait()
	defer application.Process.Kill()

	// What dcproxy has and toxiproxy has not is plain HTTP.
	ask := func(method, path string) []byte {
		t.Helper()
		request, _ := http.NewRequest(method, api+path, nil)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		return body
	}
	until := func(what string, holds func() bool) {
		t.Helper()
		for began := time.Now(); !holds(); time.Sleep(50 * time.Millisecond) {
			if time.Since(began) > 20*time.Second {
				t.Fatal("waited too long until ", what)
			}
		}
	}
	until("a stream is open", func() bool {
		var open struct {
			Connections []struct {
				Edges struct {
					Upstream struct{ Streams struct{ Live int } }
				}
			}
		}
		return json.Unmarshal(ask("GET", "/dcp/v1/proxies/dcp/connections"), &open) == nil &&
			len(open.Connections) > 0 && open.Connections[0].Edges.Upstream.Streams.Live > 0
	})

	// Closed in the middle of what it is receiving; then the producer is told what a consumer says whose stream is gone.
	if _, err := proxy.AddToxic("close", "dcp_close_stream", "downstream", 1, toxiproxy.Attributes{}); err != nil {
		t.Fatal(err)
	}
	until("it is closed", func() bool {
		return strings.Contains(string(ask("GET", "/metrics")), `dcproxy_faults_fired_total{proxy="dcp"`)
	})
	type judged struct {
		Verdict  string
		Findings []struct{ ID, Verdict, Expected, Actual string }
	}
	var report struct {
		judged
		Connections []judged
	}
	if err := json.Unmarshal(ask("POST", "/dcp/v1/proxies/dcp/verdict"), &report); err != nil {
		t.Fatal(err)
	}
	if report.Verdict != "pass" {
		t.Error("the verdict is ", report.Verdict)
	}
	for _, judged := range append(report.Connections, report.judged) {
		for _, finding := range judged.Findings {
			if finding.Verdict != "pass" {
				t.Errorf("%s (%s): expected %s, found %s", finding.ID, finding.Verdict, finding.Expected, finding.Actual)
			}
		}
	}
}

// docs:end
