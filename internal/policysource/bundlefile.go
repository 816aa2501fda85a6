package policysource

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"
)

// bundleFile is an OPA bundle in a file.
type bundleFile struct {
	name, file   string
	verification Verification
}

// BundleFile returns the source that is an OPA bundle in a file.
func BundleFile(name, file string, v Verification) Source {
	return &bundleFile{name, file, v}
}

func (b *bundleFile) Name() string { return b.name }

func (b *bundleFile) Remote() bool { return false }

func (b *bundleFile) Wait(ctx context.Context, _ int) { pause(ctx, localPoll) }

func (b *bundleFile) Fetch(context.Context) (Snapshot, error) {
	s, err := readBundleFile(b.file, b.verification)
	if err != nil {
		return s, fmt.Errorf("bundle %s: %s: %w", b.name, b.file, err)
	}
	return s, nil
}

func readBundleFile(file string, v Verification) (Snapshot, error) {
	f, err := os.Open(file)
	if err != nil {
		return Snapshot{}, err
	}
	defer f.Close()
	packed, err := readLimited(f)
	if err != nil {
		return Snapshot{}, err
	}
	return readBundle(packed, v, time.Now())
}

// readLimited reads everything, up to the size that a source may have.
func readLimited(r io.Reader) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(r, maxSize+1))
	if err == nil && len(content) > maxSize {
		return nil, errTooLarge
	}
	return content, err
}
