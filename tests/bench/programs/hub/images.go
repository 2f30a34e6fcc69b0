package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
)

const (
	index    = "application/vnd.oci.image.index.v1+json"
	manifest = "application/vnd.oci.image.manifest.v1+json"
	config   = "application/vnd.oci.image.config.v1+json"
	layer    = "application/vnd.oci.image.layer.v1.tar"
)

// image is what is asked to be made. Name begins with the registry's. Each of Layers is a size in bytes; Seed makes
// other bytes of the same sizes. With Program, a file of this host, it runs: with the arguments Command.
type image struct {
	Name    string   `json:"name"`
	Tag     string   `json:"tag"`
	Layers  []int64  `json:"layers"`
	Seed    string   `json:"seed"`
	Program string   `json:"program"`
	Command []string `json:"command"`
	Private bool     `json:"private"`
}

// made is what an image became: the digest of its index and those of its layers.
type made struct {
	Digest string   `json:"digest"`
	Layers []string `json:"layers"`
}

// content is a blob: Head, then Fill bytes that only depend on Key, then Tail.
type content struct {
	head, tail []byte
	key        [sha256.Size]byte
	fill       int64
}

func (c *content) size() int64 { return int64(len(c.head)) + c.fill + int64(len(c.tail)) }

// ReadAt is for io.SectionReader, which never asks beyond the size.
func (c *content) ReadAt(p []byte, offset int64) (int, error) {
	start, end := int64(len(c.head)), int64(len(c.head))+c.fill
	switch {
	case offset < start:
		return copy(p, c.head[offset:]), nil
	case offset >= end:
		return copy(p, c.tail[offset-end:]), nil
	}
	n := int(min(int64(len(p)), end-offset))
	offset -= start
	block, err := aes.NewCipher(c.key[:16])
	if err != nil {
		return 0, err
	}
	counter := make([]byte, aes.BlockSize)
	binary.BigEndian.PutUint64(counter[8:], uint64(offset/aes.BlockSize))
	bytes := cipher.NewCTR(block, counter)
	skipped := make([]byte, offset%aes.BlockSize)
	bytes.XORKeyStream(skipped, skipped)
	clear(p[:n])
	bytes.XORKeyStream(p[:n], p[:n])
	return n, nil
}

// readAll reads on where ReadAt stops at an edge.
type readAll struct{ *content }

func (r readAll) ReadAt(p []byte, offset int64) (int, error) {
	done := 0
	for done < len(p) && offset+int64(done) < r.size() {
		n, err := r.content.ReadAt(p[done:], offset+int64(done))
		if err != nil {
			return done, err
		}
		done += n
	}
	if done < len(p) {
		return done, io.EOF
	}
	return done, nil
}

func (c *content) reader() *io.SectionReader { return io.NewSectionReader(readAll{c}, 0, c.size()) }

// store is what all registries have. Nothing is ever removed, as a digest that was pulled once stays valid.
type store struct {
	sync.Mutex
	blobs     map[string]*content
	manifests map[string][]byte
	types     map[string]string
	tags      map[string]string // of NAME:TAG
	private   map[string]bool   // by NAME
	known     map[string]bool   // by NAME
	has       map[string]bool   // of NAME@DIGEST
}

var stored = store{
	blobs: map[string]*content{}, manifests: map[string][]byte{}, types: map[string]string{}, tags: map[string]string{},
	private: map[string]bool{}, known: map[string]bool{}, has: map[string]bool{},
}

type descriptor struct {
	MediaType string            `json:"mediaType"`
	Digest    string            `json:"digest"`
	Size      int64             `json:"size"`
	Platform  map[string]string `json:"platform,omitempty"`
}

// add makes an image, or moves its tag.
func (s *store) add(wanted image) (made, error) {
	layers, digests, differences := []descriptor{}, []string{}, []string{}
	for number, size := range wanted.Layers {
		file, err := fileOf(fmt.Sprintf("%s:%s %d %s", wanted.Name, wanted.Tag, number, wanted.Seed), size)
		if err != nil {
			return made{}, err
		}
		found := s.blob(wanted.Name, file, layer)
		layers, digests = append(layers, found), append(digests, found.Digest)
		differences = append(differences, found.Digest)
	}
	settings := map[string]any{}
	if wanted.Program != "" {
		compressed, difference, err := programOf(wanted.Program)
		if err != nil {
			return made{}, err
		}
		found := s.blob(wanted.Name, &content{head: compressed}, layer+"+gzip")
		layers, digests, differences = append(layers, found), append(digests, found.Digest), append(differences, difference)
		settings["Entrypoint"], settings["Cmd"] = []string{"/program"}, wanted.Command
	}
	platform := map[string]string{"architecture": runtime.GOARCH, "os": "linux"}
	written, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux", "author": wanted.Name + ":" + wanted.Tag + wanted.Seed,
		"config": settings, "rootfs": map[string]any{"type": "layers", "diff_ids": differences},
	})
	if err != nil {
		return made{}, err
	}
	one, err := s.manifest(wanted.Name, manifest, map[string]any{
		"config": s.blob(wanted.Name, &content{head: written}, config), "layers": layers})
	if err != nil {
		return made{}, err
	}
	one.Platform = platform
	all, err := s.manifest(wanted.Name, index, map[string]any{"manifests": []descriptor{one}})
	if err != nil {
		return made{}, err
	}
	s.Lock()
	defer s.Unlock()
	s.tags[wanted.Name+":"+wanted.Tag] = all.Digest
	s.private[wanted.Name], s.known[wanted.Name] = wanted.Private, true
	return made{all.Digest, digests}, nil
}

func (s *store) blob(name string, bytes *content, kind string) descriptor {
	hash := sha256.New()
	io.Copy(hash, bytes.reader())
	digest := fmt.Sprintf("sha256:%x", hash.Sum(nil))
	s.Lock()
	defer s.Unlock()
	s.blobs[digest], s.has[name+"@"+digest] = bytes, true
	return descriptor{MediaType: kind, Digest: digest, Size: bytes.size()}
}

func (s *store) manifest(name, kind string, fields map[string]any) (descriptor, error) {
	fields["schemaVersion"], fields["mediaType"] = 2, kind
	written, err := json.Marshal(fields)
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256(written))
	s.Lock()
	defer s.Unlock()
	s.manifests[digest], s.types[digest], s.has[name+"@"+digest] = written, kind, true
	return descriptor{MediaType: kind, Digest: digest, Size: int64(len(written))}, err
}

// fileOf returns a tar archive of this size, at least 2 KiB and rounded up to tar's blocks, with one file.
func fileOf(seed string, size int64) (*content, error) {
	size = max(2048, (size+511)/512*512)
	key := sha256.Sum256([]byte(seed))
	var head bytes.Buffer
	archive := tar.NewWriter(&head)
	err := archive.WriteHeader(&tar.Header{Name: fmt.Sprintf("fill/%x", key[:4]), Mode: 0o644, Size: size - 1536})
	return &content{head: head.Bytes(), key: key, fill: size - 1536, tail: make([]byte, 1024)}, err
}

// programOf returns a compressed layer with a file of this host as /program, and the digest of the layer itself.
func programOf(path string) ([]byte, string, error) {
	program, err := os.ReadFile(path)
	if err != nil {
		return nil, "", err
	}
	var plain, compressed bytes.Buffer
	archive := tar.NewWriter(&plain)
	if err := archive.WriteHeader(&tar.Header{Name: "program", Mode: 0o755, Size: int64(len(program))}); err != nil {
		return nil, "", err
	}
	if _, err := archive.Write(program); err != nil {
		return nil, "", err
	}
	if err := archive.Close(); err != nil {
		return nil, "", err
	}
	packed, err := gzip.NewWriterLevel(&compressed, gzip.BestSpeed)
	if err != nil {
		return nil, "", err
	}
	if _, err := packed.Write(plain.Bytes()); err != nil {
		return nil, "", err
	}
	err = packed.Close() // writes the rest
	return compressed.Bytes(), fmt.Sprintf("sha256:%x", sha256.Sum256(plain.Bytes())), err
}

// find returns the digest that a tag or digest of a repository means, or nothing.
func (s *store) find(name, reference string) string {
	s.Lock()
	defer s.Unlock()
	if strings.HasPrefix(reference, "sha256:") {
		if s.has[name+"@"+reference] {
			return reference
		}
		return ""
	}
	return s.tags[name+":"+reference]
}
