// hub is a fake of the public registries docker.io, ghcr.io, quay.io and registry.k8s.io, for tests that must not
// contact them. It has their names, tokens, redirects, refusals and limits as far as a pull meets them; its images are
// made up. It is also the name server for exactly these names.
//
//	hub serve ADDRESS CERTIFICATE KEY    on ports 443 and 53 of ADDRESS, and on CONTROL
//	hub ask GET|POST PATH <BODY          of a hub that serves, see control.go
//	hub names                            prints the names
//	hub say TEXT...                      what a container of a runnable image does
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
)

// CONTROL is where only this host reaches it.
const CONTROL = "127.0.0.1:9443"

func main() {
	arguments := os.Args[1:]
	switch {
	case len(arguments) == 4 && arguments[0] == "serve":
		serve(arguments[1], arguments[2], arguments[3])
	case len(arguments) == 3 && arguments[0] == "ask":
		ask(arguments[1], arguments[2])
	case len(arguments) == 1 && arguments[0] == "names":
		for _, each := range registries {
			fmt.Println(strings.Join(each.hosts(), "\n"))
		}
	case len(arguments) > 1 && arguments[0] == "say":
		fmt.Println(strings.Join(arguments[1:], " "))
	default:
		log.Fatal("usage: hub serve ADDRESS CERTIFICATE KEY | hub ask GET|POST PATH <BODY | hub names | hub say TEXT...")
	}
}

func serve(address, certificate, key string) {
	front := newFront(address+":443", certificate, key)
	if err := front.up(); err != nil {
		log.Fatal(err)
	}
	go answerNames(address)
	log.Fatal(http.ListenAndServe(CONTROL, control(front)))
}

func ask(method, path string) {
	request, err := http.NewRequest(method, "http://"+CONTROL+path, os.Stdin)
	if err != nil {
		log.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		log.Fatalf("%s: %s %v", answer.Status, body, err)
	}
	os.Stdout.Write(body)
}
