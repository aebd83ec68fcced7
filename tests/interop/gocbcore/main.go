// Program gocbcore streams every vbucket of a bucket with the public Go DCP client (gocbcore's DCP agent), twice: straight
// from the cluster, then through the proxy, where streams are closed in mid-transfer and it requests them again from where
// it was. Whatever came the first way has to come the second way, byte for byte, and nothing else.
//
// It prints one JSON object. It exits with 0 where nothing is missing, 1 where something is, 2 where it could not get so far.
package main

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/couchbase/gocbcore/v10"
)

type options struct {
	user, password, bucket string
	ca                     string
	bufferSize             int
	timeout                time.Duration
	changes                changes
	closes                 int
	linger                 time.Duration
}

// changes are what is posted to the management of the cluster once so many documents have come.
type changes []change

type change struct {
	after int64
	url   string
}

func (c *changes) String() string { return fmt.Sprint(*c) }

func (c *changes) Set(text string) error {
	after, url, found := strings.Cut(text, "=")
	number, err := strconv.ParseInt(after, 10, 64)
	if !found || err != nil {
		return fmt.Errorf("expected N=URL, found %q", text)
	}
	*c = append(*c, change{number, url})
	return nil
}

type outcome struct {
	Vbuckets  int            `json:"vbuckets"`
	Servers   int            `json:"servers"`
	Expected  int            `json:"documents_expected"`
	Received  int            `json:"documents_received"`
	Kinds     map[string]int `json:"kinds"`
	Closed    int            `json:"streams_closed"`
	Resumed   int            `json:"streams_resumed"`
	Changes   int            `json:"cluster_changes"`
	Missing   int            `json:"missing"`
	Repeated  int            `json:"repeated"`
	Different int            `json:"different"`
	Examples  []string       `json:"examples,omitempty"`
}

func main() {
	var o options
	direct := flag.String("direct", "", "HOST:PORT of a node of the cluster")
	through := flag.String("through", "", "HOST:PORT of the proxy, once for each of them with commas between; if not given, the direct way again")
	flag.StringVar(&o.user, "user", "Administrator", "who logs in; the password is DCPROXY_PASSWORD, else \"password\"")
	flag.StringVar(&o.bucket, "bucket", "default", "the bucket to stream")
	flag.StringVar(&o.ca, "ca", "", "speak TLS to the proxy, whose certificate this CA vouches for")
	flag.IntVar(&o.bufferSize, "buffer", 64*1024, "the flow-control window of each connection, in bytes")
	flag.DurationVar(&o.timeout, "timeout", time.Minute, "how long each of the two ways may take")
	flag.Var(&o.changes, "change", "N=URL: once N documents have come through the proxy, that URL is posted to, so that the cluster changes; repeatable")
	flag.IntVar(&o.closes, "closes", 0, "through the proxy, take a document a millisecond until so many streams have been closed, so that there is time for that")
	flag.DurationVar(&o.linger, "linger", 0, "stay so long when all has come through the proxy")
	verbose := flag.Bool("verbose", false, "what the library logs goes to stderr")
	flag.Parse()
	o.password = "password"
	if password, given := os.LookupEnv("DCPROXY_PASSWORD"); given {
		o.password = password
	}
	if *verbose {
		gocbcore.SetLogger(gocbcore.VerboseStdioLogger())
	}
	if *through == "" {
		*through = *direct
	}

	found, err := compare(*direct, *through, o)
	if err != nil {
		fmt.Fprintf(os.Stderr, "gocbcore: %v\n", err)
		os.Exit(2)
	}
	if err := json.NewEncoder(os.Stdout).Encode(found); err != nil {
		os.Exit(2)
	}
	if found.Missing+found.Repeated+found.Different > 0 || found.Expected == 0 {
		os.Exit(1)
	}
}

func compare(direct, through string, o options) (*outcome, error) {
	plain := o
	plain.ca, plain.changes, plain.closes, plain.linger = "", nil, 0, 0
	reference, err := stream(direct, plain, nil)
	if err != nil {
		return nil, fmt.Errorf("straight from the cluster: %w", err)
	}
	if reference.closed > 0 || reference.repeated > 0 {
		return nil, fmt.Errorf("straight from the cluster: expected no stream to end early and nothing twice, found %d and %d",
			reference.closed, reference.repeated)
	}
	proxied, err := stream(through, o, reference.ends)
	if err != nil {
		return nil, fmt.Errorf("through the proxy: %w", err)
	}
	found := &outcome{
		Vbuckets: len(reference.ends), Servers: proxied.servers, Kinds: map[string]int{},
		Expected: len(reference.came), Received: len(proxied.came),
		Closed: proxied.closed, Resumed: proxied.resumed, Changes: len(o.changes), Repeated: proxied.repeated,
	}
	for at, item := range reference.came {
		found.Kinds[item.kind]++
		other, came := proxied.came[at]
		if !came {
			found.Missing++
			found.example("vbucket %d seqno %d (%s) is missing", at.vbucket, at.seqno, item.kind)
		} else if other != item {
			found.Different++
			found.example("vbucket %d seqno %d: %s %s, then %s %s", at.vbucket, at.seqno, item.kind, item.hash, other.kind, other.hash)
		}
	}
	for at, item := range proxied.came {
		if _, came := reference.came[at]; !came {
			found.Different++
			found.example("vbucket %d seqno %d (%s) came through the proxy alone", at.vbucket, at.seqno, item.kind)
		}
	}
	return found, nil
}

func (found *outcome) example(format string, parts ...any) {
	if len(found.Examples) < 10 {
		found.Examples = append(found.Examples, fmt.Sprintf(format, parts...))
	}
}

// place is where in the history of a bucket something happened.
type place struct {
	vbucket uint16
	seqno   uint64
}

// item is what happened there, without its documents.
type item struct{ kind, hash string }

func hash(parts ...any) string {
	sum := sha256.New()
	for _, part := range parts {
		switch part := part.(type) {
		case []byte:
			_ = binary.Write(sum, binary.BigEndian, uint64(len(part)))
			sum.Write(part)
		default:
			_ = binary.Write(sum, binary.BigEndian, part)
		}
	}
	return hex.EncodeToString(sum.Sum(nil)[:8])
}

func config(address string, o options) (*gocbcore.DCPAgentConfig, error) {
	config := &gocbcore.DCPAgentConfig{
		UserAgent:  "dcproxy-interop",
		BucketName: o.bucket,
		SeedConfig: gocbcore.SeedConfig{MemdAddrs: strings.Split(address, ",")},
		SecurityConfig: gocbcore.SecurityConfig{
			Auth: gocbcore.PasswordAuthProvider{Username: o.user, Password: o.password},
		},
		IoConfig:         gocbcore.IoConfig{UseCollections: true, UseClusterMapNotifications: true},
		DCPConfig:        gocbcore.DCPConfig{UseExpiryOpcode: true, BufferSize: o.bufferSize},
		EnableCCCPPoller: true,
	}
	if o.ca != "" {
		pem, err := os.ReadFile(o.ca)
		if err != nil {
			return nil, err
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("expected certificates in %s, found none", o.ca)
		}
		config.SecurityConfig.UseTLS = true
		config.SecurityConfig.TLSRootCAProvider = func() *x509.CertPool { return roots }
	}
	return config, nil
}

var errTimeout = errors.New("timed out")
