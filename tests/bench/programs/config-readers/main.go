// config-readers reads configuration files as the programs read them that they belong to, many at a time.
//
//	config-readers registries.yaml < texts.json    as K3s and RKE2 do
//	config-readers config.json < texts.json        as Docker's client does
//
// texts.json is a list of texts in Base64. It prints a list with an object for each: `value`, what was read, or `error`.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/docker/cli/cli/config/configfile"
	"github.com/rancher/wharfie/pkg/registries"
	"github.com/sirupsen/logrus"
)

type result struct {
	Value any    `json:"value,omitempty"`
	Error string `json:"error,omitempty"`
}

func registriesYAML(text []byte) (any, error) {
	folder, err := os.MkdirTemp("", "config-readers")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	file := filepath.Join(folder, "registries.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return nil, err
	}
	reader, err := registries.GetPrivateRegistries(file)
	if err != nil {
		return nil, err
	}
	return reader.Registry, nil
}

func configJSON(text []byte) (any, error) {
	reader := configfile.New("config.json")
	if err := reader.LoadFromReader(bytes.NewReader(text)); err != nil {
		return nil, err
	}
	return reader, nil
}

func main() {
	formats := map[string]func([]byte) (any, error){"registries.yaml": registriesYAML, "config.json": configJSON}
	if len(os.Args) != 2 || formats[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: config-readers registries.yaml|config.json")
		os.Exit(2)
	}
	logrus.SetOutput(io.Discard)
	var texts [][]byte
	if err := json.NewDecoder(os.Stdin).Decode(&texts); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	results := make([]result, len(texts))
	for number, text := range texts {
		value, err := formats[os.Args[1]](text)
		results[number].Value = value
		if err != nil {
			results[number].Error = err.Error()
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(results); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
