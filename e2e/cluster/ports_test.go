package main

import (
	"net"
	"testing"
)

func TestFreePortsAreFreeAndDistinct(t *testing.T) {
	ports, err := freePorts(50)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, port := range ports {
		if seen[port] {
			t.Errorf("port %d was given out twice", port)
		}
		seen[port] = true
		listener, err := net.Listen("tcp", address(port))
		if err != nil {
			t.Fatal(err)
		}
		listener.Close()
	}
}
