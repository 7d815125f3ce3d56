package main

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
)

// loopback is the address everything listens on.
const loopback = "127.0.0.1"

// freePorts returns ports nobody listens on. They lie below the ranges from which kernels choose ports for outgoing
// connections; another process can still be faster, so whoever uses them has to be ready to ask again.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range 1000 {
		if len(ports) == n {
			return ports, nil
		}
		port := 20000 + rand.IntN(10000)
		listener, err := net.Listen("tcp", address(port))
		if err != nil {
			continue
		}
		defer listener.Close()
		ports = append(ports, port)
	}
	return nil, errors.New("found no free ports between 20000 and 30000 on " + loopback)
}

// address is host and port of a port on the loopback interface.
func address(port int) string {
	return net.JoinHostPort(loopback, strconv.Itoa(port))
}
