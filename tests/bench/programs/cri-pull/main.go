// cri-pull asks a container runtime for an image through the CRI, as the kubelet does.
//
//	cri-pull unix:///run/containerd/containerd.sock registry.example/app:1 <LOGIN
//
//	cri-pull --remove unix:///run/containerd/containerd.sock registry.example/app:1
//
// LOGIN is one line, NAME:PASSWORD, or nothing. It prints the runtime's reference to the image. Exit code 1: the
// runtime did not do it, and says why; 2: wrong use; 3: there is no CRI at that endpoint.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func fail(code int, what string, err error) {
	fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
	os.Exit(code)
}

func readLogin() *cri.AuthConfig {
	given, err := io.ReadAll(os.Stdin)
	if err != nil {
		fail(2, "standard input", err)
	}
	text := strings.TrimRight(string(given), "\n")
	if text == "" {
		return nil
	}
	name, password, found := strings.Cut(text, ":")
	if !found {
		fail(2, "standard input", fmt.Errorf("not NAME:PASSWORD"))
	}
	return &cri.AuthConfig{Username: name, Password: password}
}

func main() {
	arguments := os.Args[1:]
	remove := len(arguments) > 0 && arguments[0] == "--remove"
	if remove {
		arguments = arguments[1:]
	}
	if len(arguments) != 2 {
		fmt.Fprintln(os.Stderr, "usage: cri-pull [--remove] ENDPOINT IMAGE <LOGIN")
		os.Exit(2)
	}
	endpoint, image := arguments[0], arguments[1]
	var login *cri.AuthConfig
	if !remove {
		login = readLogin()
	}

	connection, err := grpc.NewClient(endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		fail(3, endpoint, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if _, err = cri.NewRuntimeServiceClient(connection).Version(ctx, &cri.VersionRequest{}); err != nil {
		fail(3, endpoint, err)
	}
	images := cri.NewImageServiceClient(connection)
	if remove {
		// No error where there is no such image.
		if _, err = images.RemoveImage(ctx, &cri.RemoveImageRequest{Image: &cri.ImageSpec{Image: image}}); err != nil {
			fail(1, image, err)
		}
		return
	}
	pulled, err := images.PullImage(ctx, &cri.PullImageRequest{
		Image: &cri.ImageSpec{Image: image},
		Auth:  login,
	})
	if err != nil {
		fail(1, image, err)
	}
	fmt.Println(pulled.ImageRef)
}
