// A client of the stats API on grpc-go, with the messages of Xray-core. Prints one JSON value.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"log"
	"os"
	"sync"
	"time"

	"github.com/xtls/xray-core/app/stats/command"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	_ "google.golang.org/grpc/health"
	"google.golang.org/grpc/status"
)

var (
	server  = flag.String("server", "", "address of the API")
	service = flag.String("service", "xray.app.stats.command.StatsService", "name of the service")
	pattern = flag.String("pattern", "", "of names")
	reset   = flag.Bool("reset", false, "set what is read to 0")
	clients = flag.Int("clients", 1, "connections that ask at a time")
	calls   = flag.Int("calls", 1, "open at a time on each of them")
	times   = flag.Int("times", 1, "how often each asks")
)

// With a service named in the configuration grpc-go watches its health before it uses a connection.
func dial(health string) *grpc.ClientConn {
	config := "{}"
	if health != "" {
		config = `{"loadBalancingConfig":[{"round_robin":{}}],"healthCheckConfig":{"serviceName":"` + health + `"}}`
	}
	c, err := grpc.NewClient(*server, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy(),
		grpc.WithDefaultServiceConfig(config))
	if err != nil {
		log.Fatal(err)
	}
	return c
}

func ask(ctx context.Context, c *grpc.ClientConn, method string, in, out any, options ...grpc.CallOption) error {
	return c.Invoke(ctx, "/"+*service+"/"+method, in, out, options...)
}

// Sums of all that the clients were told.
func query(ctx context.Context) any {
	var all sync.WaitGroup
	var lock sync.Mutex
	sums := map[string]int64{}
	for i := 0; i < *clients; i++ {
		c := dial(*service)
		for k := 0; k < *calls; k++ {
			all.Add(1)
			go func() {
				defer all.Done()
				for n := 0; n < *times; n++ {
					var out command.QueryStatsResponse
					in := &command.QueryStatsRequest{Pattern: *pattern, Reset_: *reset}
					if err := ask(ctx, c, "QueryStats", in, &out); err != nil {
						log.Fatal(err)
					}
					lock.Lock()
					for _, s := range out.Stat {
						sums[s.Name] += s.Value
					}
					lock.Unlock()
				}
			}()
		}
	}
	all.Wait()
	return sums
}

// [code, text] of calls that must fail.
func failures(ctx context.Context) any {
	c := dial("")
	none := &command.GetStatsRequest{Name: "none"}
	late, cancel := context.WithTimeout(ctx, time.Nanosecond)
	defer cancel()
	var answer command.GetStatsResponse
	var out [][]any
	for _, err := range []error{
		ask(ctx, c, "GetStats", none, &answer),
		ask(ctx, c, "GetNothing", none, &answer),
		ask(ctx, c, "GetStats", none, &answer, grpc.UseCompressor(gzip.Name)),
		ask(late, c, "GetStats", none, &answer),
	} {
		out = append(out, []any{status.Code(err).String(), status.Convert(err).Message()})
	}
	return out
}

// The states of a connection that watches the health of the service, until the server ends.
func watch(ctx context.Context) any {
	c := dial(*service)
	c.Connect()
	out := []string{}
	for state := c.GetState(); ; state = c.GetState() {
		out = append(out, state.String())
		if state == connectivity.Ready {
			os.Stderr.WriteString("ready\n")
		}
		ready := len(out) > 1 && out[len(out)-2] == connectivity.Ready.String()
		if ready || !c.WaitForStateChange(ctx, state) {
			return out
		}
	}
}

func main() {
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	work := map[string]func(context.Context) any{"query": query, "failures": failures, "watch": watch}[flag.Arg(0)]
	if work == nil {
		log.Fatal("what? query, failures or watch")
	}
	if err := json.NewEncoder(os.Stdout).Encode(work(ctx)); err != nil {
		log.Fatal(err)
	}
}
