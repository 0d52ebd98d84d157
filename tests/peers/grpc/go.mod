module grpc

go 1.25

require (
	github.com/xtls/xray-core v1.251201.0
	google.golang.org/grpc v1.77.0
)

require (
	github.com/pires/go-proxyproto v0.8.1 // indirect
	github.com/sagernet/sing v0.5.1 // indirect
	golang.org/x/net v0.47.0 // indirect
	golang.org/x/sys v0.38.0 // indirect
	golang.org/x/text v0.31.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20251022142026-3a174f9686a8 // indirect
	google.golang.org/protobuf v1.36.10 // indirect
)
