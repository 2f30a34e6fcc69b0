"""Delete tags, one by one: their folders in the registry's storage are renamed away, looked at again, and then removed.

The API cannot do that. 2.8 deletes by digest alone, and with it all tags of an image; 3.x deletes a tag by its
name, whatever it has by then; and both lose a push that comes while they look for what to delete (distribution,
registry/handlers/manifests.go). A rename takes all that a tag was, at once, and nothing else. A push before it is found
in what was taken, which is then put back; one after it makes the tag anew. No registry remembers tags.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from tasks.problem import some_of
from tasks.remote.steps import Step
from tasks.room.retention import Decision
from tasks.storage import trash
from tasks.storage.facts import IMAGES

TAKEN = f"{trash.FOLDER}/tags"
"""Where the folders of tags are until they are removed; with each a file that says whose it is, and what it had."""

SECONDS = 2
"""How long a push that had a file open before the rename may take to write to it."""

# A line of input is a number, a repository, a tag, its digest, and when it was pushed.
PROGRAM = r"""
use strict;
my ($taken, $repositories, $seconds) = @ARGV;
$| = 1;
sub text { open my $file, '<', $_[0] or return ''; local $/; my $text = <$file>; defined $text ? $text : '' }
sub links { map { join ' ', (stat)[9] || 0, text($_) } sort grep { -e } glob "$_[0]/current/link $_[0]/index/*/*/link" }
sub settle {
    for my $note (glob "$taken/*.was") {
        my ($number) = $note =~ m{([^/]*)\.was$};
        my ($place, @had) = split /\n/, text($note);
        my $changed = -d "$taken/$number" && join("\n", links("$taken/$number")) ne join("\n", @had);
        rename "$taken/$number", $place if $changed;  # unless it was made anew, which is later
        system 'rm', '-rf', '--', "$taken/$number", $note and die "$taken/$number could not be removed\n";
        print $changed || -e "$place/current/link" ? 'moved' : 'deleted', "|$number\n" if $_[0];
    }
}
settle(0);
my $any;
while (my $line = <STDIN>) {
    chomp $line;
    my ($number, $repository, $tag, $digest, $pushed) = split / /, $line;
    my $place = "$repositories/$repository/_manifests/tags/$tag";
    my @has = links($place);
    if (($has[0] || '') ne "$pushed $digest") { print @has ? 'moved' : 'gone', "|$number\n"; next }
    open my $note, '>', "$taken/$number.was" or die "$taken: $!\n";
    print {$note} join "\n", $place, @has;
    close $note or die "$taken: $!\n";
    if (rename $place, "$taken/$number") { $any = 1 }
    else { print "failed|$number|$!\n"; unlink "$taken/$number.was" }
}
sleep $seconds if $any;
settle(1);
"""


def step(decisions: Sequence[Decision], texts: Sequence[str], storage: str, seconds: int = SECONDS) -> Step:
    """Return the step that deletes these tags; `storage` is the images' folder, `texts` has a line for each tag."""
    lines = [
        f"{number} {each.tag.repository} {each.tag.name} {each.tag.digest} {each.tag.pushed}\n"
        for number, each in enumerate(decisions)
    ]
    taken = f"{storage}/{TAKEN}"
    arguments = shlex.join([PROGRAM, taken, f"{storage}/{IMAGES}/repositories", str(seconds)])
    script = f"mkdir -p {shlex.quote(taken)} && exec perl -e {arguments}"
    return Step("\n".join(texts), script, stdin="".join(lines))


def read_outcome(decisions: Sequence[Decision], output: str) -> list[str]:
    """Return a note about tags that stay because somebody pushed them meanwhile.

    Raises `ValueError` if others stay, or nothing is known of them.
    """
    answers = {
        int(number): (what, *text)
        for what, number, *text in (line.split("|") for line in output.splitlines())
    }
    failed = [
        f"{decision.name} ({answers[number][1]})" if number in answers else decision.name
        for number, decision in enumerate(decisions)
        if answers.get(number, ("failed",))[0] == "failed"
    ]
    if failed:
        raise ValueError(f"{len(failed)} of {len(decisions)} tags were not deleted: {some_of(failed)}")
    moved = [decisions[number].name for number, (what, *_) in answers.items() if what == "moved"]
    return [f"not deleted, since they were pushed again meanwhile: {some_of(moved)}"] if moved else []
