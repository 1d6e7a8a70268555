// Names and sizes of a kernel's variables, from the symbol table of its library: what makes "32 bytes too short" visible
// when another variable follows. Reads ELF; elsewhere nothing is known and sections are the only bounds.
#include "machine.h"
#include <algorithm>
#ifdef __ELF__
#include <dlfcn.h>
#include <elf.h>

namespace bang {
namespace {
std::vector<char> bytes_of(const char* path) {
  std::vector<char> out;
  FILE* file = fopen(path, "rb");
  if (!file) return out;
  fseek(file, 0, SEEK_END);
  out.resize((size_t)ftell(file));
  fseek(file, 0, SEEK_SET);
  if (fread(out.data(), 1, out.size(), file) != out.size()) out.clear();
  fclose(file);
  return out;
}
/// The last name in a mangled one: `_ZZ4mainE4tile` is `tile`.
std::string plain_name(const std::string& mangled) {
  if (mangled.compare(0, 2, "_Z") != 0) return mangled.substr(0, mangled.find('.'));
  std::string last = mangled;
  for (size_t i = 2; i < mangled.size(); i++) {
    if (!isdigit(mangled[i])) continue;
    size_t end = i;
    while (end < mangled.size() && isdigit(mangled[end])) end++;
    const size_t n = (size_t)atoi(mangled.substr(i, end - i).c_str());
    if (n == 0 || end + n > mangled.size()) break;
    last = mangled.substr(end, n);
    i = end + n - 1;
  }
  return last;
}
/// The initial bytes of a variable in an on-chip memory; none where they are all 0, which the chip's memory is not.
std::vector<char> image_of(const std::vector<char>& file, const Elf64_Shdr* sections, const char* section_names, const Elf64_Sym& symbol, int num_sections) {
  if (symbol.st_shndx == 0 || symbol.st_shndx >= num_sections) return {};
  const Elf64_Shdr& section = sections[symbol.st_shndx];
  if (section.sh_type == SHT_NOBITS || strncmp(section_names + section.sh_name, "bang_", 5) != 0) return {};
  const char* from = file.data() + section.sh_offset + (symbol.st_value - section.sh_addr);
  std::vector<char> image(from, from + symbol.st_size);
  return std::any_of(image.begin(), image.end(), [](char c) { return c != 0; }) ? image : std::vector<char>();
}
std::vector<Object> read_objects(const char* path, const char* base) {
  std::vector<Object> out;
  const std::vector<char> file = bytes_of(path);
  if (file.size() < sizeof(Elf64_Ehdr)) return out;
  const auto* header = (const Elf64_Ehdr*)file.data();
  if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 || header->e_ident[EI_CLASS] != ELFCLASS64) return out;
  const auto* sections = (const Elf64_Shdr*)(file.data() + header->e_shoff);
  const char* section_names = file.data() + sections[header->e_shstrndx].sh_offset;
  for (int s = 0; s < header->e_shnum; s++) {
    if (sections[s].sh_type != SHT_SYMTAB) continue;
    const auto* symbols = (const Elf64_Sym*)(file.data() + sections[s].sh_offset);
    const char* names = file.data() + sections[sections[s].sh_link].sh_offset;
    for (size_t i = 0; i < sections[s].sh_size / sizeof(Elf64_Sym); i++)
      if (ELF64_ST_TYPE(symbols[i].st_info) == STT_OBJECT && symbols[i].st_size > 0)
        out.push_back({base + symbols[i].st_value, (int64_t)symbols[i].st_size, plain_name(names + symbols[i].st_name), image_of(file, sections, section_names, symbols[i], header->e_shnum)});
  }
  std::sort(out.begin(), out.end(), [](const Object& a, const Object& b) { return a.base < b.base; });
  return out;
}
}  // namespace

const std::vector<Object>& objects_of(const void* code) {
  // A library that was closed and is opened again lies elsewhere.
  static std::map<std::pair<std::string, const void*>, std::vector<Object>> known;
  static const std::vector<Object> none;
  Dl_info info;
  if (!dladdr(code, &info) || !info.dli_fname) return none;
  auto [it, is_new] = known.try_emplace({info.dli_fname, info.dli_fbase});
  if (is_new) it->second = read_objects(info.dli_fname, (const char*)info.dli_fbase);
  return it->second;
}
}  // namespace bang
#else
namespace bang {
const std::vector<Object>& objects_of(const void*) {
  static const std::vector<Object> none;
  return none;
}
}  // namespace bang
#endif
