// The bytes that writer and reader of seekable zstd files have to agree on.
#pragma once

#include "zstd_frame.hpp"

#include "pkc/base/bytes.hpp"
#include "pkc/base/seekable_zstd.hpp"

#include <array>
#include <cstddef>
#include <cstdint>

namespace pkc::zstd {

// Zstandard Seekable Format 0.1.0: a skippable frame with an entry for each frame before it (the
// sizes of what is stored and of its content, 4 bytes each), and a footer (number of frames, 4
// bytes; descriptor, 1 byte; magic).
inline constexpr std::uint32_t kSeekTableMagic = 0x184D2A5E;
inline constexpr std::uint32_t kSeekableMagic = 0x8F92EAB1;
inline constexpr std::size_t kSeekEntrySize = 8;
inline constexpr std::size_t kSeekChecksumSize = 4; ///< more for each entry when the flag is set
inline constexpr std::size_t kSeekFooterSize = 9;
inline constexpr unsigned kSeekChecksumFlag = 0x80;
inline constexpr unsigned kSeekReservedBits = 0x7C;

/// A frame of raw blocks begins so: no content size, as it may be written before that is known; no
/// checksum; a window of 128 KiB, of which its blocks need nothing, but no block may be larger.
/// Nothing else that we write begins so: what libzstd compresses for us tells its size.
inline constexpr std::array kRawFrameHeader{std::byte{0x28},
                                            std::byte{0xB5},
                                            std::byte{0x2F},
                                            std::byte{0xFD},
                                            std::byte{0x00},
                                            std::byte{0x38}};

/// Raw content begins at a page of the file, where that is possible for 3 % of it or less: sendfile
/// takes the page cache in runs of 16 pages, and 64 KiB that touch a 17th page cost two rounds in
/// place of one. So a raw frame begins this much before a page, behind a skippable frame of zeros
/// if need be, its blocks end 3 bytes before a page, where the header of the next one begins, and
/// the whole frame takes exactly kSeekableFrameSize of the file. One of which a block was ended
/// early takes a page less: whoever sees content and size of a whole frame knows where its blocks
/// are.
inline constexpr std::size_t kPage = 4 * kKiB;
inline constexpr std::size_t kRawFrameHeadSize = kRawFrameHeader.size() + kBlockHeaderSize;
/// The content of each block but the last of a whole frame, which has less by the frame's header.
inline constexpr std::size_t kRawBlockContent = kBlockSizeMax - kBlockHeaderSize;
inline constexpr std::size_t kRawFrameBlocks = kSeekableFrameSize / kBlockSizeMax;
inline constexpr std::size_t kRawFrameContent =
    kRawFrameBlocks * kRawBlockContent - kRawFrameHeader.size();

/// The header of a block (RFC 8878 section 3.1.1.2): last or not, two bits of type, the size.
inline constexpr unsigned kLastBlock = 1;
inline constexpr unsigned kBlockTypeMask = 6;
inline constexpr unsigned kRawBlock = 0;
inline constexpr unsigned kBlockSizeShift = 3;

/// Below a gain of 3 % it is better to have the content as it is: it goes out by sendfile.
inline bool is_worth_it(std::size_t compressed, std::size_t content) {
  return compressed < content - content / 32;
}

} // namespace pkc::zstd
