/** Who asks, and what they may do. Tokens are 256 random bits, shown once, stored as SHA-256. */
export type Role = 'viewer' | 'operator' | 'admin';

export interface Principal {
  readonly id: string;
  readonly name: string;
  readonly role: Role;
}

const RANK = { viewer: 0, operator: 1, admin: 2 } as const satisfies Record<Role, number>;

export function isRole(text: string | undefined): text is Role {
  return text !== undefined && Object.hasOwn(RANK, text);
}

export function allows(role: Role, needed: Role): boolean {
  return RANK[role] >= RANK[needed];
}

export interface TokenRecord {
  readonly id: string;
  readonly kind: 'operator' | 'join';
  readonly name: string;
  /** Only of operator tokens. */
  readonly role?: Role;
  readonly labels: Readonly<Record<string, string>>;
  readonly createdBy: string;
  readonly createdAt: Date;
  readonly expiresAt?: Date;
  readonly revokedAt?: Date;
  readonly lastUsedAt?: Date;
  readonly usedByAgent?: string;
}

export interface AccessService {
  /** @throws OpenlineError UNAUTHENTICATED unknown, expired or revoked. */
  authenticate(secret: string): Promise<Principal>;
  /** `secret` is returned here and nowhere else, ever. */
  createOperatorToken(
    by: Principal,
    name: string,
    role: Role,
    ttlMs: number | undefined,
  ): Promise<{ token: TokenRecord; secret: string }>;
  /** @param ttlMs default 24 h */
  createJoinToken(
    by: Principal,
    name: string,
    labels: Record<string, string>,
    ttlMs: number | undefined,
  ): Promise<{ token: TokenRecord; secret: string }>;
  listTokens(): Promise<TokenRecord[]>;
  /** @throws OpenlineError TOKEN_UNKNOWN */
  revokeToken(by: Principal, id: string): Promise<TokenRecord>;
}
