package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"time"
)

// front is the HTTPS server of all names.
type front struct {
	address     string
	certificate tls.Certificate
	self        tls.Certificate
	server      *http.Server
}

func newFront(address, certificate, key string) *front {
	real, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		log.Fatal(err)
	}
	return &front{address: address, certificate: real, self: selfSigned()}
}

func (f *front) up() error {
	listener, err := net.Listen("tcp4", f.address)
	if err != nil {
		return err
	}
	// Without tickets each connection has the certificate of its time.
	settings := &tls.Config{SessionTicketsDisabled: true, GetCertificate: f.present, NextProtos: []string{"http/1.1"}}
	f.server = &http.Server{
		Handler: http.HandlerFunc(answer), TLSConfig: settings, ErrorLog: log.New(io.Discard, "", 0)}
	go f.server.ServeTLS(listener, "", "")
	return nil
}

// down closes all connections too. It may be down already.
func (f *front) down() { f.server.Close() }

func (f *front) present(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if counted.now().SelfSigned {
		return &f.self, nil
	}
	return &f.certificate, nil
}

// selfSigned returns a certificate for the same names, from nobody.
func selfSigned() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	for _, each := range registries {
		template.DNSNames = append(template.DNSNames, each.hosts()...)
	}
	made, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		log.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{made}, PrivateKey: key}
}
