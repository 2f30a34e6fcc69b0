// registries-pull pulls an image with nothing but a registries.yaml, by the module with which K3s and RKE2 read it.
//
//	registries-pull /etc/rancher/k3s/registries.yaml registry.example/app:1
//
// It reads every layer and prints the manifest's digest. Exit code 1: it was not pulled, and why; 2: wrong use.
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/rancher/wharfie/pkg/registries"
)

func pull(file, image string) (string, error) {
	reference, err := name.ParseReference(image)
	if err != nil {
		return "", err
	}
	// A missing file would be taken for one without entries.
	if _, err := os.Stat(file); err != nil {
		return "", err
	}
	reader, err := registries.GetPrivateRegistries(file)
	if err != nil {
		return "", err
	}
	reader.DefaultKeychain = authn.NewMultiKeychain() // no login from a config.json
	found, err := reader.Image(reference)
	if err != nil {
		return "", err
	}
	layers, err := found.Layers()
	if err != nil {
		return "", err
	}
	for _, layer := range layers {
		data, err := layer.Compressed()
		if err != nil {
			return "", err
		}
		_, err = io.Copy(io.Discard, data)
		data.Close()
		if err != nil {
			return "", err
		}
	}
	digest, err := found.Digest()
	return digest.String(), err
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: registries-pull REGISTRIES_YAML IMAGE")
		os.Exit(2)
	}
	digest, err := pull(os.Args[1], os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(digest)
}
