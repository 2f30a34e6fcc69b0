package main

import (
	"bytes"
	"encoding/binary"
	"log"
	"net"
	"strings"
)

const typeA, classIN, notThere = 1, 1, 3

// answerNames answers on UDP port 53 for the hosts of `registries`; every other name is NXDOMAIN (RFC 1035, 4.1).
func answerNames(address string) {
	listener, err := net.ListenPacket("udp4", address+":53")
	if err != nil {
		log.Fatal(err)
	}
	buffer := make([]byte, 512)
	for {
		n, from, err := listener.ReadFrom(buffer)
		if err != nil {
			log.Fatal(err)
		}
		if answer := answerName(buffer[:n], net.ParseIP(address).To4()); answer != nil {
			listener.WriteTo(answer, from)
		}
	}
}

func answerName(query []byte, address net.IP) []byte {
	const head = 12
	if len(query) < head || query[2]&0x80 != 0 {
		return nil
	}
	labels, place := []string{}, head
	for place < len(query) && query[place] != 0 {
		end := place + 1 + int(query[place])
		if end > len(query) {
			return nil
		}
		labels, place = append(labels, string(query[place+1:end])), end
	}
	place++
	if place+4 > len(query) {
		return nil
	}
	name := strings.ToLower(strings.Join(labels, "."))
	known := find(name) != nil
	if !counted.name(name, known) {
		return nil
	}
	answer := bytes.NewBuffer(append([]byte{}, query[:2]...))
	code, answers := uint16(0), uint16(0)
	if !known {
		code = notThere
	} else if binary.BigEndian.Uint16(query[place:]) == typeA {
		answers = 1
	}
	for _, field := range []uint16{0x8580 | code, 1, answers, 0, 0} { // an answer with authority, recursion is there
		binary.Write(answer, binary.BigEndian, field)
	}
	answer.Write(query[head : place+4])
	if answers == 1 {
		binary.Write(answer, binary.BigEndian, []uint16{0xc000 | head, typeA, classIN, 0, 5, 4}) // for 5 seconds
		answer.Write(address)
	}
	return answer.Bytes()
}
