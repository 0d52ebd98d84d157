// A TLS 1.3 web server with Go's crypto/tls, as a REALITY target that answers with X25519MLKEM768.
package main

import (
	"crypto/tls"
	"flag"
	"fmt"
	"log"
	"net/http"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address")
	cert := flag.String("cert", "", "certificate file")
	key := flag.String("key", "", "key file")
	classic := flag.Bool("classic", false, "X25519 only")
	flag.Parse()

	groups := []tls.CurveID{tls.X25519MLKEM768, tls.X25519}
	if *classic {
		groups = groups[1:]
	}
	server := http.Server{
		Addr:      *listen,
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS13, CurvePreferences: groups},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "the target")
		}),
	}
	log.Fatal(server.ListenAndServeTLS(*cert, *key))
}
