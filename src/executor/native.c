/* SPDX-License-Identifier: Apache-2.0 */
/*
 * native.c: a look at what is to run in gVisor: a script, or a static binary for x86-64.
 *
 * Runs in: the executor. Trusts: nothing. It is no check of safety, which the sandbox is for:
 * what could not even start is refused when it is uploaded, and says why.
 * Invariants: every offset is checked before it is used.
 * See: elf(5); tests/fuzz/fuzz_native.c.
 */
#include "tools.h"

#include <elf.h>

static const char *
elf_fault(struct span s)
{
	Elf64_Ehdr head;
	Elf64_Phdr row;

	if (s.len < sizeof(head))
		return "native: cut off";
	memcpy(&head, s.ptr, sizeof(head));
	if (head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_ident[EI_DATA] != ELFDATA2LSB ||
	    head.e_machine != EM_X86_64)
		return "native: not for x86-64";
	if (head.e_type != ET_EXEC && head.e_type != ET_DYN)
		return "native: not a program";
	if (head.e_phentsize != sizeof(row) || head.e_phnum == 0 || head.e_phoff > s.len ||
	    (s.len - head.e_phoff) / sizeof(row) < head.e_phnum)
		return "native: cut off";
	for (size_t i = 0; i < head.e_phnum; i++) {
		memcpy(&row, s.ptr + head.e_phoff + i * sizeof(row), sizeof(row));
		if (row.p_type == PT_INTERP)
			return "native: not a static program";
		if (row.p_type == PT_LOAD &&
		    (row.p_offset > s.len || row.p_filesz > s.len - row.p_offset))
			return "native: cut off";
	}
	return NULL;
}

const char *
native_fault(struct span native)
{
	if (span_starts(native, SPAN_LIT("#!/")))
		return NULL;
	if (span_starts(native, SPAN_LIT(ELFMAG)))
		return elf_fault(native);
	return "native: neither a script with #!/ nor an ELF program";
}

void
reason_clean(struct span text, char out[TOOL_REASON_MAX + 1])
{
	size_t n = 0;

	for (; n < text.len && n < TOOL_REASON_MAX; n++) {
		out[n] = '?';
		if (text.ptr[n] >= 0x20 && text.ptr[n] < 0x7f)
			out[n] = (char)text.ptr[n];
	}
	out[n] = '\0';
}
